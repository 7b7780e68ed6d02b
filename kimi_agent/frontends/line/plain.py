"""The screen for a dumb terminal, a pipe or a screen reader: lines in, lines out, not one escape sequence."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from kimi_agent.core.message import Image
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.lending import CannotLend
from kimi_agent.frontends.common.pictures import caption
from kimi_agent.frontends.line.screen import Owner, Style
from kimi_agent.frontends.stdio import InputLines


class PlainScreen:
    obeys, keeps_input = False, True

    def __init__(self, owner: Owner, stdin: int = 0, stdout: TextIO | None = None) -> None:
        self._owner = owner
        self._fd = stdin
        self._lines = InputLines(stdin)
        self._out = stdout or sys.stdout
        self._is_tty = os.isatty(stdin)
        self._echoes = True
        self._label = ""  # what stands before the cursor now
        self._draft: list[str] = []  # lines that ended with a backslash
        self._wanted = asyncio.Event()
        self._stopped = asyncio.Event()

    # --- out ----------------------------------------------------------------------------------------------------------

    def line(self, text: str, style: Style = "") -> None:
        self._write(("\n" if self._label else "") + text + "\n")
        self._label = ""

    def markdown(self, text: str) -> None:
        self.line("\n" + text.replace("\\|", "|"))

    def output(self, text: str) -> None:
        self.line(plain(text))

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[None]:
        raise CannotLend
        yield

    def picture(self, image: Image) -> None:
        self.line(f"  {caption(image)}")

    def control(self, sequence: str) -> None:
        pass

    def copy(self, text: str) -> bool:
        return False

    def refresh(self) -> None:
        self._echo(not self._owner.secret)
        if not self._owner.wants_input():
            self._wanted.clear()
            return
        self._wanted.set()
        label = "... " if self._draft else self._owner.label()
        if label != self._label:
            self._write(("\n" if self._label else "") + label)
            self._label = label

    def restore(self, text: str) -> None:
        self.line(f"Not sent: {text}")

    def _echo(self, on: bool) -> None:
        """Whether the terminal shows what is typed."""
        if on == self._echoes or not self._is_tty:
            return
        self._echoes = on
        import termios

        with contextlib.suppress(termios.error, OSError):
            settings = termios.tcgetattr(self._fd)
            settings[3] = settings[3] | termios.ECHO if on else settings[3] & ~termios.ECHO
            termios.tcsetattr(self._fd, termios.TCSADRAIN, settings)

    def _write(self, text: str) -> None:
        encoding = self._out.encoding or "utf-8"
        with contextlib.suppress(OSError, ValueError):  # the terminal went away: the reader sees the end of the input
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()

    # --- in -----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, self._interrupted)
            loop.add_signal_handler(signal.SIGCONT, self._continued)
        reader = asyncio.create_task(self._read())
        try:
            self.refresh()
            await self._stopped.wait()
        finally:
            reader.cancel()
            self._echo(True)
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGCONT)

    def stop(self) -> None:
        self._stopped.set()

    async def _read(self) -> None:
        """Lines of a terminal are taken as they are typed: what was typed before a question was shown never answers it.

        Lines of a pipe or a file wait until a line is wanted, so that a script can answer questions.
        """
        while True:
            if not self._is_tty:
                await self._wanted.wait()
            raw = await self._lines.next()
            if raw is None:
                self._owner.leave()
                return
            self._take(raw.decode("utf-8", "replace"))

    def _take(self, text: str) -> None:
        if not self._is_tty or self._owner.secret:
            self._write("\n" if self._owner.secret else text + "\n")
        self._label = ""
        if text.endswith("\\"):
            self._draft.append(text[:-1])
        else:
            whole, self._draft = "\n".join([*self._draft, text]), []
            if not self._owner.submit(whole):
                self.restore(whole)
        self.refresh()

    def _continued(self) -> None:
        """After Ctrl-Z and `fg`: the shell has written where the label stood."""
        self._label = ""
        self.refresh()

    def _interrupted(self) -> None:
        self._draft.clear()
        if not self._owner.interrupt():
            self._owner.explain_leaving()
            self.refresh()
