"""Shell mode in a real terminal: full-screen programs get it and give it back, in the full-screen shell and in line mode."""

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from nightly import all_but
from tui_terminal import FullScreen

BASH = shutil.which("bash") or "/bin/sh"
CTRL_X, CTRL_G, CTRL_D = "\x18", "\x07", "\x04"
FULL = r"""
import os, signal, sys, termios, tty
def draw(*_):
    size = os.get_terminal_size()
    print(f"\x1b[2J\x1b[HFULL SCREEN {size.columns}x{size.lines}", end="", flush=True)
before = termios.tcgetattr(0)
tty.setraw(0)
print("\x1b[?1049h", end="")
draw()
signal.signal(signal.SIGWINCH, draw)
typed = ""
while (key := os.read(0, 1).decode()) != "q":
    typed += key
    print(f"\r\nTYPED {typed}", end="", flush=True)
termios.tcsetattr(0, termios.TCSADRAIN, before)
print("\x1b[?1049l", end="")
print("it was " + typed)
"""


class Terminal(FullScreen):
    """Passes over what vim asks and sets that the emulator would stumble over, as terminals do."""

    def _pump(self, patience: float) -> bool:
        before, self._stream.feed = self._stream.feed, self._feed
        try:
            return super()._pump(patience)
        finally:
            self._stream.feed = before

    def _feed(self, data: bytes) -> None:
        type(self._stream).feed(self._stream, re.sub(rb"\x1b\[[>?][0-9;]*m", b"", data))


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path, {"SHELL": BASH, "PAGER": "less", "LESS": ""})
    (program.work / "full.py").write_text(FULL)
    (program.work / "long.txt").write_text("".join(f"line number {n}\n" for n in range(200)))
    return program


@pytest.fixture(params=["full", "line"])
def screen(request: pytest.FixtureRequest, kimi: Program) -> Iterator[FullScreen]:
    """In shell mode, with a command behind it."""
    with ExitStack() as opened:
        provider = kimi.scenario([{"text": "I see it."}], [{"text": "Again."}])
        line = ["--line"] if request.param == "line" else []
        made = Terminal(kimi, "--provider", provider, *line)
        opened.enter_context(made)
        made.is_full = not line
        made.expect("❯" if not line else "\n>")
        made.type(CTRL_X)
        made.expect("$")
        made.type("echo be''fore\r")
        made.expect("before")
        made.expect("Ctrl-G")
        yield made


def program(name: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def test_a_program_gets_the_terminal_and_gives_it_back(screen: FullScreen) -> None:
    screen.type("python3 full.py\r")
    screen.expect("FULL SCREEN 80x24")
    assert "before" not in screen.visible
    screen.type("ab\x03")
    screen.expect("TYPED ab")
    screen.resize(100, 30)
    screen.expect("FULL SCREEN 100x30")
    screen.type("q")
    screen.expect("it was ab")
    if screen.is_full:
        screen.expect("before")
    screen.type("echo af''ter\r")
    screen.expect("after")


def vim_is_there(screen: FullScreen) -> None:
    """Its empty lines: it clears what it says of the file when the screen changes its size."""
    screen.until(lambda: screen.visible.count("\n~") > 5)


def test_less_and_vim(screen: FullScreen, kimi: Program) -> None:
    screen.type(f"{program('less')} long.txt\r")
    screen.expect("line number 5\n")
    screen.type("G")
    screen.expect("line number 199")
    screen.type("q")
    screen.expect("Ctrl-G")
    screen.type(f"{program('vim')} -u NONE made.txt\r")
    vim_is_there(screen)
    screen.type("ihello from vim\x1b")
    screen.pause()  # a lone Esc, no Alt
    screen.type(":wq\r")
    screen.until(lambda: written(kimi.work / "made.txt") == "hello from vim\n" and "Ctrl-G" in screen.visible)
    screen.type("cat made.txt\r")
    screen.until(lambda: screen.visible.count("hello from vim") == 1)


def test_a_suspended_editor_comes_back_with_fg(screen: FullScreen) -> None:
    screen.type(f"{program('vim')} -u NONE other.txt\r")
    vim_is_there(screen)
    screen.type("isome words\x1b")
    screen.pause()
    screen.type("\x1a")
    screen.expect("suspended: fg goes on")
    screen.type("fg\r")
    screen.until(lambda: "some words" in screen.visible and "~" in screen.visible)
    screen.type(":q!\r")
    screen.expect("Ctrl-G")


def test_the_output_is_given_to_the_model(screen: FullScreen, kimi: Program) -> None:
    screen.type(CTRL_G)
    screen.expect("[Shell output #1")
    screen.type("what is this?\r")
    screen.expect("I see it.")
    (log,) = kimi.home.glob("sessions/**/*.jsonl")
    assert "$ echo be''fore\\nbefore" in log.read_text()


def test_the_output_can_be_taken_out_again(screen: FullScreen, kimi: Program) -> None:
    screen.type(CTRL_G)
    screen.expect("[Shell output #1")
    screen.pause()
    screen.type("\x7f" if screen.is_full else "\x17" * 5)  # in line mode word by word
    screen.wait_gone("[Shell output")


def test_one_command_from_the_prompt_runs_in_the_same_shell(screen: FullScreen) -> None:
    screen.type("export SEEN=yes; cd /; echo mo''ved\r")
    screen.expect("moved")
    screen.expect("Ctrl-G")
    screen.type(CTRL_X)
    screen.type('!echo "$SEEN in $PWD"\r')
    screen.expect("yes in /")


def test_a_password_is_not_shown(screen: FullScreen) -> None:
    screen.type("read -s -p 'Secret: ' x; echo; echo got ${#x}\r")
    screen.expect("Secret:")
    screen.pause(0.4)  # a person who reads
    screen.type("hunter2\r")
    screen.expect("got 7")
    assert "hunter2" not in screen.text


def test_ctrl_d_ends_the_shell_and_the_next_command_starts_one(screen: FullScreen) -> None:
    screen.type(CTRL_D)
    screen.expect("The shell has ended")
    screen.type("echo $((6 * 7))\r")
    screen.expect("42")


@pytest.mark.parametrize(
    "number", all_but([signal.SIGTERM, signal.SIGKILL], [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
)
@pytest.mark.parametrize("full_screen", [False, True])
def test_nothing_outlives_the_program(screen: FullScreen, kimi: Program, number: int, full_screen: bool) -> None:
    screen.type("setsid sleep 1000 & echo $! >pid\r")
    file = kimi.work / "pid"
    screen.until(lambda: file.exists() and file.read_text().strip())
    children = [int(file.read_text())]
    if full_screen:
        screen.pause()  # the command has ended: else this would be its input
        screen.type("python3 full.py\r")
        screen.expect("FULL SCREEN")
    os.kill(screen.child.pid, number)
    screen.child.wait(20)
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in children):
        assert time.monotonic() < deadline
    if number != signal.SIGKILL:
        screen.pause(0.1)
        assert b"\x1b[?1049h" not in screen.raw.rsplit(b"\x1b[?1049l", 1)[-1], "the main screen is back"


def written(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def alive(pid: int) -> Any:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_tab_completes_a_command(screen: FullScreen, kimi: Program) -> None:
    (kimi.work / "tab one.txt").write_text("content of it\n")
    screen.type("cat tab\t")
    screen.expect("tab\\ one.txt")
    screen.type("\r")
    screen.expect("content of it")
    (kimi.work / "tab two.txt").touch()
    screen.expect("Ctrl-G")
    screen.type("ls tab\t")
    screen.expect("tab\\ ")
    if not screen.is_full:
        screen.type("\t")
    screen.expect("tab two.txt")
