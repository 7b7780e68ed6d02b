"""A program in a real pseudo-terminal, and what a person would see of it."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pyte
import warm_kimi

CHANGING = ("NO_COLOR", "CI", "COLUMNS", "LINES", "PYTHON")
"""Variables of the machine that would change what a program shows."""


class _Screen(pyte.HistoryScreen):
    """Answers status requests as a terminal does."""

    def __init__(self, columns: int, lines: int, master: int) -> None:
        super().__init__(columns, lines, history=5000, ratio=0.5)
        self._master = master

    def write_process_input(self, data: str) -> None:
        os.write(self._master, data.encode())


class PtyScreen:
    """Runs `argv`. `raw` is every byte that the program wrote. Use it as a context manager: the child dies with it."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str] = {}, cwd: Any = None, columns: int = 80, lines: int = 30
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.raw = b""
        self._screen = _Screen(columns, lines, self._master)
        self._stream = pyte.ByteStream(self._screen)
        base = {key: value for key, value in os.environ.items() if not key.startswith(CHANGING)}
        self.child = warm_kimi.start_on(slave, argv, {**base, "TERM": "xterm-256color", **env}, cwd or Path.cwd())
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        self.child.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    @property
    def visible(self) -> str:
        """The screen as it is now."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def text(self) -> str:
        """The scrollback and the screen."""
        history = [
            "".join(line[x].data for x in range(self._screen.columns)).rstrip() for line in self._screen.history.top
        ]
        return "\n".join([*history, self.visible])

    def wait_for(self, wanted: str, *, timeout: float = 30.0) -> float:
        """Until `wanted` is seen anywhere in `text`; answers the seconds it took."""
        started = time.monotonic()
        while wanted not in self.text:
            if not self._pump(started + timeout - time.monotonic()) and wanted not in self.text:
                raise AssertionError(f"{wanted!r} never appeared:\n{self.text}")
        return time.monotonic() - started

    def wait_until(self, condition: Callable[[], object], *, timeout: float = 30.0) -> None:
        """Until the condition holds for what is on the screen."""
        deadline = time.monotonic() + timeout
        while not condition():
            self._pump(0.5)  # what is waited for may be elsewhere, and write nothing here
            if time.monotonic() > deadline and not condition():
                raise AssertionError(f"never came true; the screen:\n{self.visible}")

    def sees(self, wanted: str, *, within: float) -> bool:
        """Whether `wanted` appears within so many seconds."""
        deadline = time.monotonic() + within
        while wanted not in self.text:
            if time.monotonic() > deadline or not self._pump(deadline - time.monotonic()):
                return wanted in self.text
        return True

    def wait_gone(self, unwanted: str, *, timeout: float = 30.0) -> None:
        """Until `unwanted` is not on the visible screen."""
        deadline = time.monotonic() + timeout
        while unwanted in self.visible:
            if not self._pump(deadline - time.monotonic()) and unwanted in self.visible:
                raise AssertionError(f"{unwanted!r} never went away:\n{self.visible}")

    def wait_end(self, *, timeout: float = 30.0) -> int:
        """Until the program has ended; answers its exit code."""
        deadline = time.monotonic() + timeout
        while self._pump(deadline - time.monotonic()):
            pass
        return self.child.wait(max(0.1, deadline - time.monotonic()))

    def pause(self, seconds: float = 0.6) -> None:
        """Until nothing has been drawn for a while."""
        while select.select([self._master], [], [], seconds)[0] and self._pump(0):
            pass

    def answer(self, text: str) -> None:
        """Type what answers a question, as a person does: after having seen it for a moment."""
        self.pause()
        self.type(text)

    def _pump(self, patience: float) -> bool:
        """Take what the program wrote; false when it ended or wrote nothing for so long."""
        if not select.select([self._master], [], [], max(0.0, patience))[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the child closed the terminal
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)
