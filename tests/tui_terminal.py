"""The real `kimi` in full screen, in a pseudo-terminal that can be resized, hung up, and asked whether it was restored."""

import fcntl
import os
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

from kimi_program import Program
from pty_screen import PtyScreen


class FullScreen(PtyScreen):
    def __init__(self, program: Program, *arguments: str, **env: str) -> None:
        argv = [sys.executable, "-m", "kimi_agent", *arguments]
        super().__init__(argv, env=program.environment(**{"COLORTERM": "truecolor", **env}), cwd=program.work, lines=24)
        self._modes = termios.tcgetattr(self._master)[:4]

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)

    def expect(self, text: str) -> None:
        self.until(lambda: text in self.visible)

    def until(self, condition: Callable[[], Any], patience: float = 30.0) -> None:
        """Read what the program draws until the condition holds. Fails when it draws nothing more."""
        while not condition():
            assert self._pump(patience) or condition(), f"never came true; the screen:\n{self.visible}"

    def hang_up(self) -> None:
        """The terminal dies: its window was closed, its connection lost."""
        os.close(self._master)
        self._master = os.open(os.devnull, os.O_RDWR)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    @property
    def restored(self) -> bool:
        """Whether echo, line editing, cursor, main screen, mouse, paste and keyboard modes are as they were before."""
        after = self.raw.rsplit(b"\x1b[?1049h", 1)[-1]
        off = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[<u")
        return termios.tcgetattr(self._master)[:4] == self._modes and all(code in after for code in off)
