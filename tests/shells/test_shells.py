"""The zsh and bash plugins in the real shells, on a real pseudo-terminal. `kimi` is a program that records its arguments."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kimi_program import Program
from pty_screen import PtyScreen

PLUGINS = Path(__file__).parent.parent.parent / "plugins"
FILES = {"bash": PLUGINS / "bash" / "kimi.bash", "zsh": PLUGINS / "zsh" / "kimi.plugin.zsh"}
CTRL_X, CTRL_E, CTRL_G, UP = "\x18", "\x05", "\x07", "\x1b[A"
RECORDER = """#!{python}
import json, pathlib, sys
with pathlib.Path({log!r}).open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
print("<opened", len(pathlib.Path({log!r}).read_text().splitlines()), end=">\\n")
"""


@pytest.fixture(params=sorted(FILES))
def shell(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A home with a `kimi` on its PATH (`bin`), whose calls are in `calls`."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "kimi"
    script.write_text(RECORDER.format(python=sys.executable, log=str(tmp_path / "calls")))
    script.chmod(0o755)
    return tmp_path


def calls(folder: Path) -> list[list[str]]:
    log = folder / "calls"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@contextmanager
def prompt(shell: str, folder: Path, before: str = "", after: str = "", **env: str) -> Iterator[PtyScreen]:
    """The shell at its first prompt (`ready>`), its set-up file loading the plugin between `before` and `after`."""
    lines = ["PS1='ready> '", "PS2='more> '", f'PATH="{folder}/bin:$PATH"', before, f'source "{FILES[shell]}"', after]
    (folder / ".zshrc").write_text("\n".join(lines) + "\n")
    (folder / ".bashrc").write_text("\n".join(lines) + "\n")
    command = {"bash": ["bash", "--noprofile", "--rcfile", str(folder / ".bashrc"), "-i"], "zsh": ["zsh", "-d", "-i"]}
    home = {"HOME": str(folder), "ZDOTDIR": str(folder), "LC_ALL": "C.UTF-8", "EDITOR": "emacs", "HISTFILE": ""}
    with PtyScreen(command[shell], env={**home, **env}, cwd=folder, columns=100) as screen:
        screen.wait_for("ready>")
        yield screen


def wait_for_calls(screen: PtyScreen, folder: Path, count: int) -> list[list[str]]:
    """The arguments of each start of kimi, once there were `count` of them and the prompt is back."""
    screen.wait_for(f"<opened {count}>")
    screen.type("echo so''on\r")
    screen.wait_for("\nsoon")
    assert len(calls(folder)) == count
    return calls(folder)


LINES = {
    "words": "fix the failing test",
    "quotes": """say "hi", it's `date` and $(touch pwned) $HOME \\n""",
    "bang": "do it now! !! !$ it's !x",
    "signs": "a; touch pwned & echo > pwned | cat # *? ~ {a,b} [x] <y>",
    "option": "--yolo -p x",
    "chinese": "修复测试,谢谢",
    "emoji": "ship it 🚀 👩‍💻",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_the_key_opens_kimi_with_the_line_as_one_argument(shell: str, folder: Path, line: str) -> None:
    with prompt(shell, folder) as screen:
        screen.type(line + CTRL_X)
        assert wait_for_calls(screen, folder, 1) == [["--", line]]
    assert not (folder / "pwned").exists()


@pytest.mark.parametrize("line", ["", "   "], ids=["empty", "blank"])
def test_an_empty_line_opens_plain_kimi(shell: str, folder: Path, line: str) -> None:
    with prompt(shell, folder) as screen:
        screen.type(line + CTRL_X)
        assert wait_for_calls(screen, folder, 1) == [[]]


def test_a_pasted_text_of_many_lines_is_one_prompt(shell: str, folder: Path) -> None:
    text = 'first \'line\n\tsecond "line"\nthird !!'
    with prompt(shell, folder) as screen:
        screen.type(f"\x1b[200~{text}\x1b[201~")
        screen.wait_for("third")
        screen.type(CTRL_X)
        assert wait_for_calls(screen, folder, 1) == [["--", text]]


def test_the_command_is_in_the_history_and_runs_again(shell: str, folder: Path) -> None:
    with prompt(shell, folder) as screen:
        screen.type("it's here" + CTRL_X)
        screen.wait_for("<opened 1>\nready>")
        screen.type(UP + "\r")
        assert wait_for_calls(screen, folder, 2) == [["--", "it's here"]] * 2


def test_a_line_that_begins_with_a_space_stays_out_of_the_history(shell: str, folder: Path) -> None:
    before = "setopt hist_ignore_space" if shell == "zsh" else "HISTCONTROL=ignorespace"
    with prompt(shell, folder, before=before) as screen:
        screen.type("kept" + CTRL_X)
        screen.wait_for("<opened 1>\nready>")
        screen.type(" not kept" + CTRL_X)
        screen.wait_for("<opened 2>\nready>")
        screen.type("echo so''on\r")
        screen.wait_for("\nsoon\nready>")
        screen.type(UP + UP + "\r")
        assert wait_for_calls(screen, folder, 3) == [["--", "kept"], ["--", " not kept"], ["--", "kept"]]


ODD = {
    "zsh": "setopt nounset ksh_arrays rc_quotes csh_junkie_history hist_verify sh_word_split no_bare_glob_qual aliases",
    "bash": "set -u; shopt -s histverify histreedit extglob nullglob; set -o posix; histchars='@^#'",
}


def test_a_global_alias_of_zsh_is_a_word_like_any_other(folder: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    with prompt("zsh", folder, before="alias -g G='; touch pwned;'") as screen:
        screen.type("G" + CTRL_X)
        assert wait_for_calls(screen, folder, 1) == [["--", "G"]]
    assert not (folder / "pwned").exists()


def test_odd_options_and_loading_it_twice_change_nothing(shell: str, folder: Path) -> None:
    line = "it''s @x 'a'b ![x] {a,b}"
    with prompt(shell, folder, before=ODD[shell], after=f'source "{FILES[shell]}"') as screen:
        screen.type(line + CTRL_X)
        assert wait_for_calls(screen, folder, 1) == [["--", line]]


def test_vi_keys_have_the_key_too(shell: str, folder: Path) -> None:
    with prompt(shell, folder, before="set -o vi") as screen:
        screen.type("in insert mode" + CTRL_X)
        screen.wait_for("<opened 1>\nready>")
        screen.type("in command mode\x1b")
        screen.type(CTRL_X)
        assert wait_for_calls(screen, folder, 2) == [["--", "in insert mode"], ["--", "in command mode"]]


def test_another_key_can_be_chosen(shell: str, folder: Path) -> None:
    with prompt(shell, folder, before="KIMI_SHELL_KEY='\\C-g'") as screen:
        screen.type("by another key" + CTRL_G)
        assert wait_for_calls(screen, folder, 1) == [["--", "by another key"]]


def test_an_empty_key_binds_none(shell: str, folder: Path) -> None:
    check = "bindkey | grep -c kimi_open" if shell == "zsh" else "bind -s | grep -c kimi-line"
    with prompt(shell, folder, before="KIMI_SHELL_KEY=", after=f"echo bound: $({check})") as screen:
        screen.wait_for("bound: 0")


def test_ctrl_x_ctrl_e_still_opens_the_editor(shell: str, folder: Path) -> None:
    edit = (
        ""
        if shell == "bash"
        else "autoload -U edit-command-line; zle -N edit-command-line; bindkey '^X^E' edit-command-line"
    )
    editor = folder / "bin" / "edit"
    editor.write_text('#!/bin/sh\necho echo ed""ited > "$1"\n')
    editor.chmod(0o755)
    with prompt(shell, folder, before=edit, VISUAL=str(editor)) as screen:
        screen.type(f"whatever{CTRL_X}{CTRL_E}")
        screen.type("\r" if shell == "zsh" else "")
        screen.wait_for("\nedited")
    assert calls(folder) == []


def test_an_unfinished_command_of_zsh_is_gathered_then_opened(folder: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    with prompt("zsh", folder) as screen:
        screen.type("for f in *; do\r")
        screen.wait_for("more>")
        screen.type("what is missing?" + CTRL_X)
        screen.wait_for("ready> for f in *; do\nwhat is missing?")
        screen.type(CTRL_X)
        assert wait_for_calls(screen, folder, 1) == [["--", "for f in *; do\nwhat is missing?"]]


def test_completion_comes_from_kimi_itself(shell: str, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "kimi"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kimi_agent "$@"\n')
    script.chmod(0o755)
    before = "autoload -U compinit; compinit -u" if shell == "zsh" else ""
    env = Program(tmp_path).environment()
    with prompt(shell, tmp_path, before=before, KIMI_HOME=env["KIMI_HOME"]) as screen:
        screen.type("kimi sess\t")
        screen.wait_for("kimi sessions")


def test_the_real_program_starts_with_the_line(shell: str, tmp_path: Path) -> None:
    program = Program(tmp_path)
    provider = program.scenario({"text": "The answer is 42."})
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "kimi"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kimi_agent --line --provider "{provider}" "$@"\n')
    script.chmod(0o755)
    with prompt(shell, tmp_path, KIMI_HOME=str(program.home)) as screen:
        screen.type("what is 6 * 7?" + CTRL_X)
        screen.wait_for("The answer is 42.")
        screen.type("/exit\r")
        screen.wait_for("\nready>")
        screen.type("echo ba''ck\r")
        screen.wait_for("\nback")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_shell_without_a_person_loads_it_in_silence(name: str, folder: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run([name, "-c", f'source "{FILES[name]}"'], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_folder_is_a_plugin(name: str) -> None:
    manifest = json.loads((PLUGINS / name / "plugin.json").read_text())
    assert (manifest["name"], set(manifest)) == (name, {"name", "version", "description"})
    assert f"source '$(kimi plugin path {name})/{FILES[name].name}'" in (PLUGINS / name / "README.md").read_text()
