"""The screen for a dumb terminal, a pipe or a screen reader: words in, words out, nothing drawn, not one escape sequence."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO

from kimi_agent.core.display import Diff
from kimi_agent.core.message import Image
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.clipboard import tell_tmux
from kimi_agent.frontends.common.lending import CannotLend
from kimi_agent.frontends.common.notify import BELL
from kimi_agent.frontends.common.pictures import caption
from kimi_agent.frontends.line.screen import Owner, Style
from kimi_agent.frontends.line.words import diff_words, markdown_words, undrawn
from kimi_agent.frontends.stdio import InputLines

PASTE_S = 0.03
"""Lines that come so close to one another were pasted."""


class PlainScreen:
    obeys, keeps_input, speaks, prompt = False, True, True, "You: "

    def __init__(self, owner: Owner, stdin: int = 0, stdout: TextIO | None = None, *, rings: bool = False) -> None:
        """`rings`: the terminal has a bell, and is not a log or a buffer of an editor, where it would be a character."""
        self._owner, self._rings = owner, rings
        self._fd = stdin
        self._lines = InputLines(stdin)
        self._out = stdout or sys.stdout
        self._is_tty = os.isatty(stdin)
        self._echoes = True
        self._label = ""  # what stands before the cursor now
        self._draft: list[str] = []  # lines that ended with a backslash
        self._wanted = asyncio.Event()
        self._stopped = asyncio.Event()
        self._asking = False
        self._completing: asyncio.Task[None] | None = None

    # --- out ----------------------------------------------------------------------------------------------------------

    def line(self, text: str, style: Style = "") -> None:
        self._write(("\n" if self._label else "") + undrawn(text) + "\n")
        self._label = ""

    def markdown(self, text: str) -> None:
        self.line(markdown_words(text))

    def diff(self, diff: Diff, limit: int, number: int) -> None:
        lines = diff_words(diff, context=False)
        for line in lines[:limit]:
            self.line(line)
        if hidden := len(lines) - limit if len(lines) > limit else 0:
            self.line(f"And {hidden} more lines; /show {number} tells all.")

    def output(self, text: str) -> None:
        self.line(plain(text))

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[None]:
        raise CannotLend
        yield

    def picture(self, image: Image) -> None:
        self.line(caption(image))

    def control(self, sequence: str) -> None:
        """Of all sequences only the bell is heard."""
        if self._rings and sequence.startswith(BELL):
            self._write(BELL)

    def copy(self, text: str) -> bool:
        return tell_tmux(text)

    def refresh(self) -> None:
        self._echo(not self._owner.secret)
        asking = not self._owner.remembers()
        if asking and not self._asking and self._is_tty:
            self._forget_typed()
        self._asking = asking
        if not self._owner.wants_input():
            self._wanted.clear()
            return
        self._wanted.set()
        label = "... " if self._draft else self._owner.label()
        if label != self._label:
            self._write(("\n" if self._label else "") + undrawn(label))
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
        """Lines of a terminal are taken as they are typed: what was typed before a question was told never answers it.

        Lines of a pipe or a file wait until a line is wanted, so that a script can answer questions.
        """
        while True:
            if not self._is_tty:
                await self._wanted.wait()
            raw = await self._lines.next()
            if raw is None:
                self._owner.leave()
                return
            lines = [raw, *(await self._rest_of_paste() if self._is_tty and self._owner.remembers() else [])]
            self._take(b"\n".join(lines).decode("utf-8", "replace"))

    async def _rest_of_paste(self) -> list[bytes]:
        """The lines that follow at once, as no person types them: all of a paste is one prompt."""
        lines: list[bytes] = []
        with contextlib.suppress(TimeoutError):
            while (line := await asyncio.wait_for(self._lines.next(), PASTE_S)) is not None:
                lines.append(line)
        return lines

    def _take(self, text: str) -> None:
        if not self._is_tty or self._owner.secret:
            self._write("\n" if self._owner.secret else undrawn(text) + "\n")
        self._label = ""
        if text.endswith("\t") and self._owner.remembers():
            self._completing = asyncio.create_task(self._complete(text.rstrip("\t")))
        elif text.endswith("\\"):
            self._draft.append(text[:-1])
        else:
            whole, self._draft = "\n".join([*self._draft, text.strip("\n")]), []
            if not self._owner.submit(whole):
                self.restore(whole)
        self.refresh()

    async def _complete(self, text: str) -> None:
        """Tell what could follow: a line that ends with a tab asks for it."""
        from prompt_toolkit.completion import CompleteEvent
        from prompt_toolkit.document import Document

        from kimi_agent.frontends.line.complete import LineCompleter

        found = LineCompleter(self._owner).get_completions_async(
            Document(text), CompleteEvent(completion_requested=True)
        )
        names = [completion.text async for completion in found]
        self.line(f"Completions: {', '.join(names)}" if names else "Nothing completes that.")
        self.refresh()

    def _forget_typed(self) -> None:
        """What was typed before a question, even half a line of it, is no answer to it."""
        for line in self._lines.take_all():
            self.restore(line.decode("utf-8", "replace"))
        import termios

        with contextlib.suppress(termios.error, OSError):
            termios.tcflush(self._fd, termios.TCIFLUSH)

    def _continued(self) -> None:
        """After Ctrl-Z and `fg`: the shell has written where the label stood."""
        self._label = ""
        self.refresh()

    def _interrupted(self) -> None:
        self._draft.clear()
        if not self._owner.interrupt():
            self._owner.explain_leaving()
            self.refresh()
