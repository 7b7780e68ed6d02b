"""The full-screen shell as the program that people start, in a real pseudo-terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from nightly import all_but
from tui_terminal import FullScreen

Start = Callable[..., FullScreen]
LONG = "\n\n".join(f"Paragraph {n} of a long answer." for n in range(40))


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=program.work, check=True)
    return program


@pytest.fixture
def start(kimi: Program) -> Iterator[Start]:
    """Start `kimi` with a scenario; it is ended with the test, whatever happens."""
    with ExitStack() as opened:

        def begin(*steps: Any, arguments: tuple[str, ...] = (), **env: str) -> FullScreen:
            screen = FullScreen(kimi, "--provider", kimi.scenario(*steps), *arguments, **env)
            opened.enter_context(screen)
            screen.expect("❯")
            return screen

        yield begin


def leave(screen: FullScreen) -> int:
    screen.type("\x04")
    screen.expect("again leaves")
    screen.type("\x04")
    return screen.wait_end()


def test_a_turn_a_permission_and_a_clean_exit(kimi: Program, start: Start) -> None:
    call = {"call": {"name": "Shell", "arguments": {"command": "echo hello > made.txt"}}}
    screen = start([call], [{"text": "**Done**, it is there."}])
    screen.type("make the file\r")
    screen.expect("wants to run a command")
    screen.expect("1  Yes, this once")
    assert not (kimi.work / "made.txt").exists()
    screen.pause()  # as a person does who reads; keys that come sooner are kept for the prompt
    screen.type("1")
    screen.expect("Done, it is there.")
    assert (kimi.work / "made.txt").read_text() == "hello\n"
    assert leave(screen) == 0
    assert screen.restored
    assert b"kimi -r " in screen.raw


def test_keys_that_break_the_line(kimi: Program, start: Start) -> None:
    screen = start([{"text": "ok"}])
    screen.type("one\ntwo\x1b\rthree\x1b[13;2ufour")  # Ctrl-J, Alt-Enter, Shift-Enter (Kitty protocol)
    screen.expect("❯ one\n   two\n   three\n   four")
    assert leave_with_text(screen) == 0


def test_keys_that_come_together_are_done_one_after_the_other(kimi: Program, start: Start) -> None:
    screen = start([{"text": "Done."}])
    screen.type("wrong\x15two\x01one \x1b[D\x1b[D-\rmore")  # Ctrl-U, Ctrl-A, Left: none of them lags behind letters
    screen.expect("❯ on-e two")
    screen.expect("Done.")
    screen.expect("❯ more")
    screen.type("\x06done")  # Ctrl-F
    screen.expect("1 of 1")
    screen.type("\x1b")
    screen.wait_gone("1 of 1")
    screen.type("\x12n-e")  # Ctrl-R
    screen.expect("search ❯ n-e")
    screen.type("\r")
    screen.wait_gone("search")
    assert leave_with_text(screen) == 0


def test_blanks_and_joiners_of_other_languages_are_typed(kimi: Program, start: Start) -> None:
    typed = "می\u200cخواهم\u3000👨\u200d👩"
    screen = start([{"text": "Done."}])
    screen.type(f"{typed}\r")
    screen.expect("Done.")
    (log,) = kimi.home.glob("sessions/**/*.jsonl")
    assert typed in log.read_text()
    assert leave(screen) == 0


def leave_with_text(screen: FullScreen) -> int:
    screen.type("\x03")
    screen.until(lambda: "❯\n" in screen.visible)
    return leave(screen)


@pytest.mark.parametrize(
    ("number", "code"),
    all_but([(signal.SIGTERM, 143)], [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, 131)]),
)
def test_signals_restore_the_terminal(kimi: Program, start: Start, number: int, code: int) -> None:
    screen = start([{"text": "begun"}, {"stall": 100}])
    screen.type("go\r")
    screen.expect("begun")
    os.kill(screen.child.pid, number)
    assert screen.wait_end() == code
    assert screen.restored
    (log,) = kimi.home.glob("sessions/**/*.jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(record["type"] == "turn_ended" and record["stop"] == "interrupted" for record in records)


def test_a_terminal_that_dies_ends_the_program(kimi: Program, start: Start) -> None:
    screen = start([{"text": "begun"}, {"stall": 100}])
    screen.type("go\r")
    screen.expect("begun")
    screen.hang_up()
    assert screen.child.wait(20) == 129


def test_resizing_keeps_everything_in_place(kimi: Program, start: Start) -> None:
    screen = start([{"text": LONG}])
    screen.type("go\r")
    screen.expect("Paragraph 39")
    for columns, lines in ((40, 12), (20, 5), (120, 40), (300, 80), (80, 24)):
        screen.resize(columns, lines)
        screen.expect("39 of a" if columns > 20 else "❯")
    screen.expect("Paragraph 35")
    assert leave(screen) == 0


def test_the_editor_takes_the_prompt_and_gives_it_back(kimi: Program, start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text("import sys; f = open(sys.argv[1], 'a'); f.write(' and more'); f.close(); print('IN EDITOR')\n")
    screen = start([{"text": "ok"}], VISUAL=f"{sys.executable} {editor}")
    screen.type("some text\x0f")
    screen.expect("❯ some text and more")
    assert b"IN EDITOR" in screen.raw
    screen.type("\r")
    screen.expect("ok")
    assert leave(screen) == 0
    assert screen.restored


def test_ctrl_c_in_an_editor_is_for_the_editor(kimi: Program, start: Start, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text(
        '#!/bin/sh\ntrap \'echo " of two" >> "$1"; exit 0\' INT\necho it edits\nwhile :; do sleep 0.05; done\n'
    )
    editor.chmod(0o755)
    screen = start([{"text": "x"}], VISUAL=str(editor))
    screen.type("none")
    screen.expect("❯ none")
    os.kill(screen.child.pid, signal.SIGINT)  # as the key, which empties the prompt
    screen.wait_gone("none")
    screen.type("one\x0f")  # Ctrl-O
    screen.expect("it edits")
    screen.type("\x03")
    screen.expect("❯ one of two")
    assert leave_with_text(screen) == 0


@pytest.mark.parametrize("flags", [[], ["--line"]], ids=["full", "line"])
def test_the_end_of_kimi_is_the_end_of_the_editor(kimi: Program, tmp_path: Path, flags: list[str]) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\necho it edits\nwhile :; do sleep 0.05; done\n")
    editor.chmod(0o755)
    with FullScreen(kimi, *flags, "--provider", kimi.scenario([]), VISUAL=str(editor)) as screen:
        screen.expect("❯" if not flags else "\n>")
        screen.type("\x0f")  # Ctrl-O
        screen.expect("it edits")
        screen.child.terminate()
        assert screen.wait_end() == 143
        assert flags or screen.restored


def test_a_prompt_on_the_command_line_and_resume(kimi: Program, start: Start) -> None:
    screen = start([{"text": "The answer is 42."}], arguments=("what is it?",))
    screen.expect("The answer is 42.")
    assert leave(screen) == 0
    session = screen.raw.decode(errors="replace").split("kimi -r ")[1].split()[0]
    again = start([{"text": "Still 42."}], arguments=("-r", session))
    again.expect("The answer is 42.")
    again.type("sure?\r")
    again.expect("Still 42.")
    assert leave(again) == 0


def test_ctrl_z_gives_the_terminal_back_and_fg_goes_on(kimi: Program, start: Start) -> None:
    screen = start([{"text": "The answer is 42."}])
    screen.type("what is it?\r")
    screen.expect("42.")
    screen.type("a draft\x1a")
    screen.until(lambda: screen.restored)
    stat = Path(f"/proc/{screen.child.pid}/stat")
    screen.wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    os.kill(screen.child.pid, signal.SIGCONT)
    screen.until(lambda: screen.raw.count(b"\x1b[?1049h") == 2)
    screen.expect("❯ a draft")
    screen.expect("42.")
    screen.type("\x03")
    assert leave(screen) == 0


def test_a_theme_is_kept_for_later_sessions(kimi: Program, start: Start) -> None:
    kimi.home.mkdir(parents=True, exist_ok=True)
    kimi.config.write_text('# mine\ndefault_editor = "vi"\n')
    screen = start([{"text": "ok"}])
    screen.type("/theme high-contrast-light\r")
    screen.expect("The theme is now high-contrast-light.")
    assert leave(screen) == 0
    assert kimi.config.read_text() == '# mine\ndefault_editor = "vi"\ntheme = "high-contrast-light"\n'


def test_a_question_rings_and_is_shown_on_the_desktop(kimi: Program, start: Start) -> None:
    call = {"call": {"name": "Shell", "arguments": {"command": "touch hello"}}}
    screen = start([call], [{"text": "no more"}], TERM_PROGRAM="iTerm.app")
    screen.type("say hello\r")
    screen.expect("wants to run a command")
    assert b"\a\x1b]9;kimi waits for your answer\a" in screen.raw


@pytest.mark.parametrize("flags", [[], ["--line"]], ids=["full", "line"])
def test_a_terminal_that_dies_without_a_signal_is_not_waited_for(tmp_path: Path, flags: list[str]):
    """Only the program that a terminal controls gets a SIGHUP from it: `ssh -t`, `script` or an editor may be between."""
    program = Program(tmp_path)
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "kimi_agent", "--provider", program.scenario([{"text": "Hello"}]), *flags]
    environment = program.environment()
    with subprocess.Popen(
        argv, stdin=slave, stdout=slave, stderr=slave, env=environment, cwd=program.work, start_new_session=True
    ) as child:
        os.close(slave)
        drawn = b""
        while b"scripted" not in drawn:
            drawn += os.read(master, 65536)
        os.close(master)
        try:
            assert child.wait(60) == 129
        finally:
            child.kill()
