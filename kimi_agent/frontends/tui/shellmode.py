"""Shell mode (Ctrl-X): the prompt runs commands in the person's own shell. The model neither sees nor runs them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from kimi_agent.agent.transcript import LIVE_OUTPUT_LIMIT
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import one_line, seconds
from kimi_agent.frontends.common.last_command import LastCommand
from kimi_agent.frontends.common.lending import CannotLend
from kimi_agent.frontends.common.user_shell import UserShell
from kimi_agent.frontends.tui.draw.hints import Hint
from kimi_agent.frontends.tui.draw.local import NoteBlock, ShellBlock
from kimi_agent.frontends.tui.screens.line import LineScreen

if TYPE_CHECKING:
    from kimi_agent.frontends.common.shell_complete import Candidates
    from kimi_agent.frontends.tui.base import SessionApp

ENDED = "The shell has ended; the next command starts a new one."
GIVES = "Ctrl-G gives the output to the model"


class ShellMode:
    def __init__(self, app: "SessionApp", cwd: Path) -> None:
        self.on = False
        self.last: LastCommand | None = None
        self._app = app
        self._shell = UserShell(cwd, lend=self._lend, size=self._size, changed=self._changed)
        self._block: ShellBlock | None = None
        self._began = 0.0
        self._command = ""
        self._alive = False
        self._secret: LineScreen | None = None
        app.composer.shell_tab = self

    @property
    def running(self) -> bool:
        return self._shell.running

    @property
    def alive(self) -> bool:
        return self._shell.alive

    @property
    def feeding(self) -> bool:
        """Whether lines that are typed go to the running command."""
        return self.on and self.running

    @property
    def cwd(self) -> Path:
        return self._shell.cwd

    def move(self, folder: Path) -> None:
        self._alive = self._alive and folder == self._shell.cwd  # its end is no news then
        self._shell.move(folder)

    # --- commands -----------------------------------------------------------------------------------------------------

    def take(self, text: str) -> bool:
        """Whether a text that was sent is for the shell; then it has it."""
        if self.feeding:
            self._shell.type(text.replace("\n", "\r") + "\r")
            return True
        command = text if self.on else text[1:].strip() if text.startswith("!") else ""
        if not command:
            return False
        if self.running:
            self._app.notify_hint("A command is running: Ctrl-X types to it, Ctrl-C stops it")
            self._app.composer.put(text)
        else:
            self._app.view.following = True
            self._app.run_worker(self._run(command), group="shell")
        return True

    async def _run(self, command: str) -> None:
        self._app.shell_began()
        try:
            await self.run(command)
        finally:
            self._app.shell_ended()
        if not self.on:
            self._app.notify_hint(GIVES)

    async def run(self, command: str) -> None:
        """Run a command to its end, its output drawn as it comes; what background jobs write later joins it."""
        clock, show = self._app.clock, self._app.view.show
        self._began, self._command, self._alive = clock(), command, True
        folder = self.cwd
        block = ShellBlock(command, str(folder))
        self._block = block
        show([block])

        def add(text: str) -> None:
            output = block.output + text
            if len(output) > LIVE_OUTPUT_LIMIT:
                tail = output[-LIVE_OUTPUT_LIMIT:]
                output = tail.partition("\n")[2] or tail
            block.output = output
            show([block])

        try:
            block.exit_code = await self._shell.run(command, add)
        except (OSError, ValueError) as error:
            block.output, block.exit_code = f"{error}", 126
        finally:
            block.running, block.seconds = False, clock() - self._began
            show([block])
            self.last = LastCommand(command, folder, block.output, block.exit_code)
            self._tell_end()

    def activity(self) -> tuple[str, list[Hint]]:
        """What it is doing, and the keys that matter; both empty when nothing is."""
        if self.running:
            words = f"{one_line(self._command, 40)} · {seconds(self._app.clock() - self._began)}"
            return words, [("Ctrl-C", "stop"), *([("Ctrl-Z", "suspend")] if self.on else [])]
        gives = [("Ctrl-G", "give the output to the model")] if self.last is not None else []
        return "", [("Ctrl-X", "back"), *gives] if self.on else []

    # --- keys ---------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        self._shell.interrupt()

    def suspend(self) -> None:
        self._shell.suspend()

    def end_input(self) -> None:
        """Ctrl-D: for the command that reads, else for the shell."""
        self._shell.end_input()

    def kill(self) -> None:
        self._alive = False
        self._shell.kill()

    async def candidates(self, line: str) -> "Candidates":
        """What Tab may put in the place of the last word of a command."""
        from kimi_agent.frontends.common.shell_complete import complete

        return await complete(self._shell, line)

    def tab(self, typed: str) -> bool:
        """Tab while a command runs: whether it took it, and what was typed before it."""
        return self._shell.tab(typed)

    # --- what it needs of the application -----------------------------------------------------------------------------

    def _size(self) -> tuple[int, int]:
        return self._app.view.text_width, max(5, self._app.size.height)

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[None]:
        try:
            with self._app.batch_update(), self._app.suspend():
                yield
        except SuspendNotSupported as error:
            raise CannotLend from error

    def _changed(self) -> None:
        if self._shell.reads_secret and self._secret is None:
            self._app.run_worker(self._ask_secret(), group="secret")
        elif not self._shell.reads_secret and self._secret is not None:
            self._secret.dismiss(None)
        if not self.running:
            self._tell_end()

    def _tell_end(self) -> None:
        if self._alive and not self.alive:
            self._alive = False
            self._app.view.show([NoteBlock(ENDED)])
        self._app.update_bars()

    async def _ask_secret(self) -> None:
        """Read a password as one: what is typed is not shown. Esc is a Ctrl-C."""
        asked = plain(self._block.output if self._block else "").strip().rpartition("\n")[2] or "Password:"
        self._secret = LineScreen(asked, secret=True)
        try:
            answer = await self._app.push_screen_wait(self._secret)
        finally:
            self._secret = None
        if answer is not None:
            self._shell.type(answer + "\r")
        elif self._shell.reads_secret:
            self._shell.interrupt()
