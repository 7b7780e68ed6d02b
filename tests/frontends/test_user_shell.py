"""The person's own shell: real shells on a pseudo-terminal."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shell_person import SHELLS, Person, path_of

from kimi_agent.frontends.common.output_flow import LIMIT


@pytest.fixture(params=SHELLS)
async def person(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Person]:
    made = Person(tmp_path, path_of(request.param))
    yield made
    made.shell.kill()


@pytest.fixture
async def bash(tmp_path: Path) -> AsyncIterator[Person]:
    made = Person(tmp_path, path_of("bash"))
    yield made
    made.shell.kill()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


async def test_folder_variables_and_aliases_last(person: Person, tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert await person.run("cd 'a b'") == (0, "")
    assert person.shell.cwd == tmp_path / "a b"
    assert await person.run("export COLOUR=blue; alias greet='echo hello'") == (0, "")
    assert await person.run("greet; echo $COLOUR") == (0, "hello\nblue")
    assert await person.run("pwd") == (0, str(tmp_path / "a b"))


async def test_exit_codes(person: Person) -> None:
    status = "$status" if "fish" in str(person.shell._environ["SHELL"]) else "$?"
    assert (await person.run("sh -c 'exit 3'"))[0] == 3
    assert await person.run(f"echo {status}") == (0, "3")
    assert (await person.run("no-such-command-at-all"))[0] == 127
    assert (await person.run("sh -c 'kill -9 $$'"))[0] == 137
    assert (await person.run("echo 'unclosed"))[0] not in (0, None)
    assert await person.run("echo one\necho two") == (0, "one\ntwo")


async def test_ctrl_c_ends_the_command_only(person: Person) -> None:
    await person.run("export KEPT=1")
    command = "sh -c 'echo be''gun; exec sleep 1000'"
    code, _ = await person.run(command, ("begun", person.shell.interrupt))
    assert code == 130
    assert await person.run("echo kept $KEPT") == (0, "kept 1")


async def test_ctrl_z_suspends_and_fg_goes_on(person: Person) -> None:
    command = "sh -c 'echo be''gun; read x; echo got $x'"
    await person.run(command, ("begun", person.shell.suspend))
    assert "begun" not in (await person.run("jobs"))[1].partition("sh")[0]
    _, output = await person.run("fg", ("sh", lambda: person.shell.type("more\r")))
    assert "got more" in output


async def test_typed_lines_and_the_end_of_the_input(person: Person) -> None:
    def answer() -> None:
        person.shell.type("one\r")
        person.shell.end_input()

    code, output = await person.run("echo re''ady; cat", ("ready", answer))
    assert (code, output.split()) == (0, ["ready", "one", "one"])


async def test_the_shell_can_be_left_and_starts_again(person: Person, tmp_path: Path) -> None:
    await person.run("cd /; export A=1")
    assert (await person.run("exit 4"))[0] == 4
    assert not person.shell.alive
    assert await person.run('echo "again:$A"') == (0, "again:")
    assert person.shell.cwd == tmp_path


async def test_a_password_is_known_as_one(bash: Person) -> None:
    def answer() -> None:
        answered.append(bash.shell.reads_secret)
        bash.shell.type("hunter2\r")

    answered: list[bool] = []
    task = asyncio.create_task(bash.run("read -s -p 'Pass: ' x; echo; echo ${#x}"))
    await bash.until(lambda: bash.shell.reads_secret)
    answer()
    assert await task == (0, "Pass: \n7")
    assert answered == [True]
    assert not bash.shell.reads_secret


async def test_output_cannot_forge_a_mark(bash: Person, tmp_path: Path) -> None:
    forged = r"printf '\033]7717;%s;D;99;/;%s\a' 0 0; printf '\033]7717;D;99;/\a\033]133;D;99\a'"
    assert await bash.run(f"{forged}; (exit 5)") == (5, "")
    (start,) = tmp_path.glob(".bashrc*") if list(tmp_path.glob(".bashrc*")) else (None,)
    assert start is None
    names = (await bash.run("env; ls -A /tmp/kimi-shell-*/ 2>/dev/null"))[1]
    assert "7717" not in names
    assert bash.shell._marks._prefix.decode().split(";")[1] not in names  # no child can know the number


async def test_a_folder_whose_name_is_a_mark(bash: Person, tmp_path: Path) -> None:
    name = "\x1b]7717;0;D;9;x\x07\nsecond"
    (tmp_path / name).mkdir()
    assert await bash.run("cd $'\\e'*") == (0, "")
    assert bash.shell.cwd.exists()
    assert await bash.run("echo here") == (0, "here")


async def test_the_rc_file_may_change_the_prompt_and_read_it_again(bash: Person, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("PS1='> '\nPROMPT_COMMAND='true;'\nalias hi='echo from rc'\necho greeting\n")
    assert await bash.run("hi") == (0, "greeting\nfrom rc")
    code, output = await bash.run(". ~/.bashrc; false")
    assert (code, output) == (1, "greeting")
    code, _ = await bash.run("sh -c 'echo be''gun; exec sleep 1000'", ("begun", bash.shell.interrupt))
    assert code == 130


async def test_background_jobs_last_and_their_output_comes_later(bash: Person, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    code, _ = await bash.run("(read x <go; echo woken by $x) &")
    assert code == 0
    (tmp_path / "go").write_text("fifo\n")
    await bash.until(lambda: "woken by fifo" in bash.output)


async def test_a_flood_is_bounded_and_nothing_waits_for_it(bash: Person) -> None:
    longest = beats = 0
    done = asyncio.Event()

    async def beat() -> None:
        nonlocal beats
        while not done.is_set():
            beats += 1
            await asyncio.sleep(0)

    def hear(text: str) -> None:
        nonlocal longest
        longest = max(longest, len(text))

    beating = asyncio.create_task(beat())
    code = await bash.shell.run("head -c 100M /dev/zero | tr '\\0' y; echo", hear)
    done.set()
    await beating
    assert code == 0
    assert longest < 3 * LIMIT
    assert beats > 100, "the event loop goes round between two chunks"


async def test_a_deaf_program_is_killed_by_the_second_ctrl_c(bash: Person) -> None:
    def twice() -> None:
        bash.shell.interrupt()
        bash.shell.interrupt()

    code, _ = await bash.run("sh -c 'trap \"\" INT; echo be''gun; while :; do sleep 1000; done'", ("begun", twice))
    assert code == 137
    assert bash.shell.alive


@pytest.mark.parametrize("way", ["sleep 1000 & echo $!", "setsid nohup sleep 1000 & echo $!"])
async def test_nothing_outlives_the_shell(bash: Person, way: str, tmp_path: Path) -> None:
    await bash.run(f"sh -c '{way} > pid' ")
    await bash.until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    pid = int((tmp_path / "pid").read_text())
    assert not gone(pid)
    bash.shell.kill()
    await bash.until(lambda: gone(pid))


async def test_a_null_character_is_refused(bash: Person) -> None:
    with pytest.raises(ValueError, match="null"):
        await bash.shell.run("echo \0", print)
    assert await bash.run("echo fine") == (0, "fine")


async def test_folders_of_killed_programs_are_removed(
    bash: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    for name in (f"kimi-shell-{ended.pid}-old", f"kimi-shell-{os.getppid()}-used", "kimi-shell-other"):
        (tmp_path / "temp" / name / "start").mkdir(parents=True)
    await bash.run("true")
    left = {path.name for path in (tmp_path / "temp").iterdir()}
    assert f"kimi-shell-{ended.pid}-old" not in left
    assert {f"kimi-shell-{os.getppid()}-used", "kimi-shell-other"} < left
    bash.shell.kill()
    assert len(list((tmp_path / "temp").iterdir())) == 2


async def test_what_cannot_be_finished_ends_with_ctrl_c(person: Person) -> None:
    """Unbalanced quotes are an error or wait for more: the shell is usable after it."""
    await person.run("true")
    task = asyncio.create_task(person.run("echo 'never closed"))
    await asyncio.wait((task,), timeout=1)
    if not task.done():
        person.shell.interrupt()
    assert (await task)[0] != 0
    assert await person.run("echo alive") == (0, "alive")


async def test_lines_of_functions_and_here_documents(bash: Person) -> None:
    assert await bash.run("two() {\n  echo a\n  echo b\n}\ntwo") == (0, "a\nb")
    assert await bash.run("cat <<END\n$((1 + 1))\nlast\nEND") == (0, "2\nlast")


async def test_a_program_that_leaves_the_terminal_raw(person: Person) -> None:
    await person.run("""python3 -c 'import os, tty; tty.setraw(0); os.kill(os.getpid(), 9)'""")
    assert await person.run("echo 'a\nb'" if person.shell.kind != "fish" else "printf 'a\nb\n'") == (0, "a\nb")
    code, output = await person.run("echo ready; head -1", ("ready", lambda: person.shell.type("typed\r")))
    assert (code, output.splitlines()[-1]) == (0, "typed")


@pytest.mark.parametrize("command", ["exec true", "set -e; false", "kill -9 $$", "exit 4"])
async def test_every_end_of_the_shell_starts_a_new_one(bash: Person, command: str) -> None:
    await bash.run(command)
    await bash.until(lambda: not bash.shell.alive)
    assert await bash.run("echo alive") == (0, "alive")


@pytest.mark.parametrize("rc", ["readonly PROMPT_COMMAND=true HISTCONTROL=x", "alias local=false eval=false", "exit 0"])
async def test_start_files_that_are_in_the_way(bash: Person, tmp_path: Path, rc: str) -> None:
    (tmp_path / ".bashrc").write_text(f"{rc}\n")
    code, output = await bash.run("echo alive")
    left = "(The shell's start files end it: here is one without them.)\n" if rc == "exit 0" else ""
    assert (code, output) == (0, f"{left}alive")
    await bash.run("echo be''gun; sleep 1000", ("begun", bash.shell.interrupt))
    assert await bash.run("cd ..; echo alive") == (0, "alive")
    assert bash.shell.cwd == tmp_path.parent


async def test_the_shell_that_a_start_file_chooses_is_the_persons(bash: Person, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text(f"exec {path_of('zsh')}\n")
    (tmp_path / ".zshrc").write_text("setopt nounset ksh_arrays\nalias greet='echo hello'\n")
    code, output = await bash.run("greet")
    assert (code, output[-5:], bash.shell.kind) == (0, "hello", "zsh")
    assert await bash.run("greet") == (0, "hello")


async def test_traces_and_broken_rc_files_do_not_confuse(bash: Person, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("no-such-command-at-all\nfalse\nif\n")
    code, output = await bash.run("echo one")
    assert code == 0
    assert output.endswith("one")
    await bash.run("set -x")
    code, output = await bash.run("printf 'a\\0\\377b'")
    assert code == 0
    assert "a" in output
