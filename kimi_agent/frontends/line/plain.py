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
from kimi_agent.frontends.common.guard import GUARD_S
from kimi_agent.frontends.common.lending import CannotLend
from kimi_agent.frontends.common.notify import BELL
from kimi_agent.frontends.common.pictures import caption
from kimi_agent.frontends.line.screen import Owner, Style
from kimi_agent.frontends.line.typed import TypedLines
from kimi_agent.frontends.line.words import diff_words, markdown_words, undrawn
from kimi_agent.frontends.stdio import InputLines

PASTE_S = 0.03
"""Lines that come so close to one another were pasted."""
QUIET_S = 0.2
"""A program that goes on with its line within so long does not ask for anything yet."""
CLOCKS_S = 0.02
"""A timer may be early by less than this."""


class PlainScreen:
    obeys, keeps_input, speaks, prompt = False, True, True, "You: "

    def __init__(self, owner: Owner, stdin: int = 0, stdout: TextIO | None = None, *, rings: bool = False) -> None:
        """`rings`: the terminal has a bell, and is not a log or a buffer of an editor, where it would be a character."""
        self._owner, self._rings = owner, rings
        self._fd = stdin
        self.typed = os.isatty(stdin)
        self._typed = TypedLines(stdin) if self.typed else None
        self._lines: TypedLines | InputLines = self._typed or InputLines(stdin)
        self._out = stdout or sys.stdout
        self._echoes = True
        self._passes_on = False  # Ctrl-Z
        self._label = ""  # what stands before the cursor now
        self._draft: list[str] = []  # lines that ended with a backslash
        self._half = b""  # what was typed of a prompt when a question came
        self._sent: str | None = None  # a line for a program, as it stands on the screen already
        self._hidden = False  # without what was typed: the program goes on in the same line
        self._quiet: asyncio.TimerHandle | None = None  # when what a program asks is told
        self._early = False  # a question has come, and has not been seen for a moment
        self._calm: asyncio.TimerHandle | None = (
            None  # when what was typed too early to be an answer is taken out of it
        )
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
        """What stands on the screen already is not said again: the question of a program, and what was typed to it."""
        text = plain(text)
        sent, self._sent = self._sent, None
        if sent is not None and (text == sent or text.startswith(sent if self._hidden else f"{sent}\n")):
            if text != sent:
                self.line(text.removeprefix(sent).removeprefix("\n"))
        elif self._label and text.startswith(self._label):
            text, self._label = text.removeprefix(self._label), ""
            self.line(text)
        else:
            self.line(text)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[None]:
        if self._typed is None:
            raise CannotLend
        self._typed.stop()
        try:
            yield
        finally:
            self._typed.start()
            self._label = ""

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
        self._pass_on_ctrl_z(self._owner.feeding())
        asked, self._asking = self._asking, not self._owner.remembers()
        tells_half = asked and not self._asking and bool(self._half)
        if not self._owner.wants_input() and not tells_half:
            self._wanted.clear()
            self._watch_program()
            return
        self._wanted.set()
        label = self._owner.label()
        if not self._asking:
            label = ("... " if self._draft else label) + plain(self._half.decode("utf-8", "replace"))
        if label != self._label:
            self._write(("\n" if self._label else "") + undrawn(label))
            self._label = label
        if self._asking and self._early:
            self._look_later()

    def _watch_program(self) -> None:
        """What a program of the person's shell asks is told once it says no more."""
        if self._quiet is not None:
            self._quiet.cancel()
        if self._owner.feeding() and self._owner.label() != self._label:
            self._quiet = asyncio.get_running_loop().call_later(QUIET_S, self._tell_program)

    def _tell_program(self) -> None:
        label = self._owner.label()
        if self._owner.feeding() and label != self._label:
            goes_on = self._label and label.startswith(self._label)
            self._write(undrawn(label.removeprefix(self._label) if goes_on else "\n" * bool(self._label) + label))
            self._label = label

    def set_aside(self) -> None:
        self._take_typed()
        self._early = self._typed is not None

    def _take_typed(self) -> bool:
        """Take what is typed, and not sent yet, out of the terminal; whether there was anything."""
        lines, half = self._typed.take() if self._typed is not None else ([], b"")
        for line in lines:
            self.restore(plain(line.decode("utf-8", "replace")))
        self._half += half
        if half and not lines:
            self._write("\n")
        self._label = "" if half else self._label
        return bool(lines or half)

    def _look_later(self) -> None:
        self._early = False
        if self._calm is not None:
            self._calm.cancel()
        self._calm = asyncio.get_running_loop().call_later(GUARD_S + CLOCKS_S, self._look_for_early)

    def _look_for_early(self) -> None:
        """What was typed before a question had been there for a moment is no answer to it."""
        heard = self._owner.hears()
        if self._asking and self._take_typed():
            self.refresh()
        if self._asking and not heard:
            self._look_later()

    def restore(self, text: str) -> None:
        self.line(f"Not sent: {text}")

    def draft(self) -> str:
        lines, half = self._typed.take() if self._typed is not None and not self._asking else ([], b"")
        typed = b"\n".join([*lines, self._half + half]).decode("utf-8", "replace")
        return plain("\n".join([*self._draft, typed]))

    def _echo(self, on: bool) -> None:
        """Whether the terminal shows what is typed."""
        if on == self._echoes or not self.typed:
            return
        self._echoes = on
        import termios

        with contextlib.suppress(termios.error, OSError):
            settings = termios.tcgetattr(self._fd)
            settings[3] = settings[3] | termios.ECHO if on else settings[3] & ~termios.ECHO
            termios.tcsetattr(self._fd, termios.TCSADRAIN, settings)

    def _pass_on_ctrl_z(self, wanted: bool) -> None:
        """A terminal that edits lines makes a signal of Ctrl-Z. While a command of the person's shell runs, that is meant."""
        if wanted != self._passes_on and self.typed:
            self._passes_on = wanted
            loop = asyncio.get_running_loop()
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                if wanted:
                    loop.add_signal_handler(signal.SIGTSTP, self._owner.suspend_command)
                else:
                    loop.remove_signal_handler(signal.SIGTSTP)

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
        if self._typed is not None:
            self._typed.start()
        reader = asyncio.create_task(self._read())
        try:
            self.refresh()
            await self._stopped.wait()
        finally:
            reader.cancel()
            if self._typed is not None:
                self._typed.stop()
            for timer in filter(None, (self._calm, self._quiet)):
                timer.cancel()
            self._echo(True)
            self._pass_on_ctrl_z(False)
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGCONT)

    def stop(self) -> None:
        self._stopped.set()

    async def _read(self) -> None:
        """Lines of a terminal are taken as they are typed: what was typed before a question was told never answers it.

        Lines of a pipe or a file wait until a line is wanted, so that a script can answer questions.
        """
        while True:
            if not self.typed:
                await self._wanted.wait()
            raw = await self._lines.next()
            if raw is None:
                self._owner.leave()
                return
            lines = [raw, *(await self._rest_of_paste() if self.typed and self._owner.remembers() else [])]
            self._take(b"\n".join(lines).decode("utf-8", "replace"))

    async def _rest_of_paste(self) -> list[bytes]:
        """The lines that follow at once, as no person types them: all of a paste is one prompt."""
        lines: list[bytes] = []
        with contextlib.suppress(TimeoutError):
            while (line := await asyncio.wait_for(self._lines.next(), PASTE_S)) is not None:
                lines.append(line)
        return lines

    def _take(self, text: str) -> None:
        if not self.typed or self._owner.secret:
            self._write("\n" if self._owner.secret else undrawn(text) + "\n")
        if self._owner.feeding():
            self._hidden = self._owner.secret
            self._sent = self._label + ("" if self._hidden else text)
        self._label = ""
        if not self._asking:
            text, self._half = self._half.decode("utf-8", "replace") + text, b""
        if text.endswith("\t") and self._owner.remembers():
            self._completing = asyncio.create_task(self._complete(text.rstrip("\t")))
        elif text.endswith("\t") and self._owner.feeding() and self._owner.tab(text.rstrip("\t")):
            pass
        elif text.endswith("\\") and self._owner.remembers():
            self._draft.append(text[:-1])
        else:
            lines = self._draft if self._owner.remembers() else []
            whole = "\n".join([*lines, text.strip("\n")])
            lines.clear()
            if not self._owner.submit(whole) and whole:
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

    def _continued(self) -> None:
        """After Ctrl-Z and `fg`: the shell has written where the label stood."""
        self._label = ""
        self.refresh()

    def _interrupted(self) -> None:
        if not self._owner.interrupt():
            self._draft.clear()
            self._half = b""
            self._owner.explain_leaving()
            self.refresh()
