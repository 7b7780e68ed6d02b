"""The same task in a real terminal: line mode and the full-screen shell, every change and command approved by hand."""

import sys
import time
from pathlib import Path

import pytest
from bugfix import TASK, is_mended, program, steps, well_formed
from fake_api import FakeAPI
from nightly import all_but
from pty_screen import PtyScreen

KIMI = [sys.executable, "-m", "kimi_agent"]
GUARD = 0.35  # the panel ignores keys for its first 0.3 s, on purpose: no answer can come sooner


def approve(screen: PtyScreen, question: str) -> None:
    screen.wait_for(question)
    time.sleep(GUARD)
    screen.type("1")


@pytest.mark.parametrize("columns", all_but([80], [80, 120]))
def test_the_full_screen_shell_mends_the_bug(tmp_path: Path, columns: int):
    with FakeAPI(steps(), strict=True) as api:
        kimi = program(tmp_path, api.url)
        with PtyScreen(KIMI, env=kimi.environment(), cwd=kimi.work, columns=columns, lines=30) as screen:
            screen.wait_for("❯")
            screen.type(TASK)
            screen.wait_for("tests pass.")
            screen.type("\r")
            for _ in range(3):
                approve(screen, "Yes, this once")
                screen.wait_gone("Yes, this once")
            screen.wait_for("Fixed: the discount")
            screen.type("/exit\r")
            assert screen.wait_end() == 0
            assert b"\x1b[?1049l" in screen.raw, "the screen is given back"
    assert is_mended(kimi.work)
    assert well_formed([r.json for r in api.requests])


def test_line_mode_mends_the_bug(tmp_path: Path):
    with FakeAPI(steps(), strict=True) as api:
        kimi = program(tmp_path, api.url)
        with PtyScreen([*KIMI, "--line"], env=kimi.environment(), cwd=kimi.work, columns=100, lines=40) as screen:
            screen.wait_for(">")
            screen.type(TASK + "\r")
            for _ in range(3):
                approve(screen, "Allow? (1")
                screen.type("\r")
                screen.wait_gone("Allow? (1")
            screen.wait_for("Fixed: the discount")
            screen.type("/exit\r")
            assert screen.wait_end() == 0
    assert is_mended(kimi.work)
    assert well_formed([r.json for r in api.requests])


def test_a_dumb_terminal_gets_no_escape_sequence(tmp_path: Path):
    with FakeAPI(steps(), strict=True) as api:
        kimi = program(tmp_path, api.url)
        with PtyScreen(
            [*KIMI, "--yolo"], env=kimi.environment(TERM="dumb"), cwd=kimi.work, columns=100, lines=40
        ) as screen:
            screen.wait_for("You:")
            screen.type(TASK + "\r")
            screen.wait_for("Fixed: the discount")
            screen.type("/exit\r")
            assert screen.wait_end() == 0
            assert b"\x1b" not in screen.raw
    assert is_mended(kimi.work)
