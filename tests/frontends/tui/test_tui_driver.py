"""The terminal that is drawn on: one that has gone, and one that is not where the standard error goes."""

import contextlib
import os
import pty
import sys
from pathlib import Path

import pytest
from kimi_program import Program
from pty_screen import PtyScreen

from kimi_agent.frontends.tui.driver import Screen


def test_writing_to_a_terminal_that_has_gone_is_no_error() -> None:
    master, slave = pty.openpty()
    with contextlib.suppress(OSError), os.fdopen(slave, "w") as stream:  # closing flushes what was left
        screen = Screen(stream)
        assert screen.isatty()
        screen.write("seen")
        screen.flush()
        assert os.read(master, 10) == b"seen"
        os.close(master)
        for _ in range(50):  # more than the queue of Textual's writing thread holds
            screen.write("x")
            screen.flush()


def test_it_is_drawn_although_the_standard_error_goes_into_a_file(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    command = f'exec "{sys.executable}" -m kimi_agent --provider {kimi.scenario()} 2>"{tmp_path}/errors"'
    with PtyScreen(["sh", "-c", command], env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for("❯")
        screen.type("\x04")
        screen.wait_for("again leaves")
        screen.type("\x04")
        assert screen.wait_end() == 0
    assert not (tmp_path / "errors").read_text()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells how often a thread was woken")
def test_an_idle_session_in_line_mode_sleeps(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    argv = [sys.executable, "-m", "kimi_agent", "--line", "--provider", kimi.scenario()]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work) as screen:
        screen.wait_for(">")

        def woken() -> list[str]:
            return [file.read_text().split()[2] for file in Path(f"/proc/{screen.child.pid}/task").glob("*/schedstat")]

        def slept() -> bool:
            before = woken()
            screen.pause()
            return woken() == before

        assert any(slept() for _ in range(20))
