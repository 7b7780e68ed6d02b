"""The real `kimi` in a pseudo-terminal with a screen emulator behind it: what a person would see."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

import pyte
from kimi_program import Program

PATIENCE = 30.0


class FullScreen:
    """`screen` is what the terminal shows now; `raw` is every byte that the program wrote."""

    def __init__(self, program: Program, *arguments: str, size: tuple[int, int] = (80, 24), **env: str) -> None:
        self._fd, child = pty.openpty()
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.resize(*size)
        self.modes = termios.tcgetattr(child)
        self.child_side = child
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kimi_agent", *arguments],
            stdin=child,
            stdout=child,
            stderr=child,
            cwd=program.work,
            env=program.environment(COLORTERM="truecolor", **env),
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def until(self, condition: Callable[[], Any]) -> None:
        """Read what the program writes until the condition holds. Fails with the screen when it never does."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline or not self._read(0.2):
                self.process.kill()
                raise AssertionError(f"never came true; the screen:\n{self.text}")

    def expect(self, text: str) -> None:
        self.until(lambda: text in self.text)

    def gone(self, text: str) -> None:
        self.until(lambda: text not in self.text)

    def pause(self, seconds: float = 0.6) -> None:
        """Until nothing has been drawn for a while."""
        while select.select([self._fd], [], [], seconds)[0]:
            self._read(0)

    def wait(self) -> int:
        """The exit code; what is still written joins `raw`."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end; the screen:\n{self.text}"
            self._read(0.05)
        self._read(0.05)
        return self.process.returncode

    def hang_up(self) -> None:
        """The terminal dies: its window was closed, its connection lost."""
        os.close(self.child_side)
        os.close(self._fd)

    @property
    def restored(self) -> bool:
        """Whether line editing, echo, cursor, main screen, mouse and paste modes are as they were before."""
        tail = self.raw.rsplit(b"\x1b[?1049h", 1)[-1]
        off = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?1000l", b"\x1b[?2004l", b"\x1b[<u")
        return termios.tcgetattr(self.child_side)[:4] == self.modes[:4] and all(code in tail for code in off)

    def _read(self, timeout: float) -> bool:
        """Take what is there within the timeout; False when the program has gone."""
        if not select.select([self._fd], [], [], timeout)[0]:
            return self.process.poll() is None
        data = os.read(self._fd, 65536)
        self.raw += data
        # The emulator knows neither Textual's private queries nor the keyboard protocol: they print nothing.
        for unknown in (b"\x1b[>1u", b"\x1b[<u", b"\x1b[?u", b"\x1b[=1;1u"):
            data = data.replace(unknown, b"")
        self._stream.feed(data)
        return True
