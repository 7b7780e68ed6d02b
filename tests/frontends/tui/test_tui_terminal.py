"""The full-screen shell as the program that people start, in a real pseudo-terminal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kimi_program import Program
from tui_terminal import FullScreen

LONG = "\n\n".join(f"Paragraph {n} of a long answer." for n in range(40))


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=program.work, check=True)
    return program


def start(kimi: Program, *steps: Any, arguments: tuple[str, ...] = (), **options: Any) -> FullScreen:
    screen = FullScreen(kimi, "--provider", kimi.scenario(*steps), *arguments, **options)
    screen.expect("❯")
    screen.expect("folder")
    return screen


def leave(screen: FullScreen) -> int:
    screen.type("\x04")
    screen.expect("again leaves")
    screen.type("\x04")
    return screen.wait()


def test_a_turn_a_permission_and_a_clean_exit(kimi: Program) -> None:
    call = {"call": {"name": "Shell", "arguments": {"command": "echo hello > made.txt"}}}
    screen = start(kimi, [call], [{"text": "**Done**, it is there."}])
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


def test_keys_that_break_the_line(kimi: Program) -> None:
    screen = start(kimi, [{"text": "ok"}])
    screen.type("one\ntwo\x1b\rthree\x1b[13;2ufour")  # Ctrl-J, Alt-Enter, Shift-Enter (Kitty protocol)
    screen.expect("❯ one\n   two\n   three\n   four")
    assert leave_with_text(screen) == 0


def leave_with_text(screen: FullScreen) -> int:
    screen.type("\x03")
    screen.gone("four")
    return leave(screen)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_restore_the_terminal(kimi: Program, number: int, code: int) -> None:
    screen = start(kimi, [{"text": "begun"}, {"stall": 100}])
    screen.type("go\r")
    screen.expect("begun")
    os.kill(screen.process.pid, number)
    assert screen.wait() == code
    assert screen.restored
    (log,) = kimi.home.glob("sessions/**/*.jsonl")
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(record["type"] == "turn_ended" and record["stop"] == "interrupted" for record in records)


def test_a_terminal_that_dies_ends_the_program(kimi: Program) -> None:
    screen = start(kimi, [{"text": "begun"}, {"stall": 100}])
    screen.type("go\r")
    screen.expect("begun")
    screen.hang_up()
    assert screen.process.wait(20) != 0


def test_resizing_keeps_everything_in_place(kimi: Program) -> None:
    screen = start(kimi, [{"text": LONG}])
    screen.type("go\r")
    screen.expect("Paragraph 39")
    for columns, lines in ((40, 12), (20, 5), (120, 40), (300, 80), (80, 24)):
        screen.resize(columns, lines)
        screen.expect("39 of a" if columns > 20 else "❯")
    screen.expect("Paragraph 35")
    assert leave(screen) == 0


def test_the_editor_takes_the_prompt_and_gives_it_back(kimi: Program, tmp_path: Path) -> None:
    editor = tmp_path / "editor.py"
    editor.write_text("import sys; f = open(sys.argv[1], 'a'); f.write(' and more'); f.close(); print('IN EDITOR')\n")
    screen = start(kimi, [{"text": "ok"}], VISUAL=f"{sys.executable} {editor}")
    screen.type("some text\x0f")
    screen.expect("❯ some text and more")
    assert b"IN EDITOR" in screen.raw
    screen.type("\r")
    screen.expect("ok")
    assert leave(screen) == 0
    assert screen.restored


def test_a_prompt_on_the_command_line_and_resume(kimi: Program) -> None:
    screen = FullScreen(kimi, "--provider", kimi.scenario([{"text": "The answer is 42."}]), "what is it?")
    screen.expect("The answer is 42.")
    assert leave(screen) == 0
    session = screen.raw.decode(errors="replace").split("kimi -r ")[1].split()[0]
    again = FullScreen(kimi, "--provider", kimi.scenario([{"text": "Still 42."}]), "-r", session)
    again.expect("The answer is 42.")
    again.type("sure?\r")
    again.expect("Still 42.")
    assert leave(again) == 0
