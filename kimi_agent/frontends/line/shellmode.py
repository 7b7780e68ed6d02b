"""Shell mode of line mode (Ctrl-X): commands in the person's own shell, which the model neither sees nor runs."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from kimi_agent.agent.transcript import LIVE_OUTPUT_LIMIT
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import ending
from kimi_agent.frontends.common.last_command import LastCommand
from kimi_agent.frontends.common.shell_complete import Candidates, complete
from kimi_agent.frontends.common.user_shell import UserShell
from kimi_agent.frontends.line.screen import Screen

LONGEST_LINE = 65_536
"""Characters that an unfinished line is waited for."""
LONGEST_LABEL = 200
"""Characters of it that stand before the cursor: the question that is answered there."""


class ShellMode:
    """`changed` is called when something that the screen shows has changed."""

    def __init__(self, screen: Screen, cwd: Path, changed: Callable[[], None]) -> None:
        self.on = False
        self.last: LastCommand | None = None
        self._screen = screen
        environ = os.environ if screen.obeys else {**os.environ, "TERM": "dumb"}
        self.shell = UserShell(cwd, lend=screen.lend if screen.obeys else None, changed=self._changed, environ=environ)
        self._tell = changed
        self._alive = False
        self._rest = ""  # the line that is not finished

    @property
    def feeding(self) -> bool:
        """Whether lines that are typed go to the running command."""
        return self.on and self.shell.running

    def command_in(self, text: str) -> str:
        """The command that a text is, empty when it is none."""
        return text if self.on else text[1:].strip() if text.startswith("!") else ""

    async def candidates(self, text: str) -> tuple[int, Candidates] | None:
        """What Tab may put in a command, and where in the text the command begins; None when the text is none."""
        if self.feeding or not (self.on or text.startswith("!")):
            return None
        begins = 0 if self.on else 1
        return begins, await complete(self.shell, text[begins:])

    def move(self, folder: Path) -> None:
        self._alive = False
        self.shell.move(folder)

    def label(self) -> str:
        if self.feeding:
            return plain(self._rest)[-LONGEST_LABEL:]
        folder = str(self.shell.cwd)
        home = str(Path.home())
        below = folder == home or folder.startswith(home + "/")
        return f"{plain('~' + folder[len(home) :] if below else folder)} $ "

    def feed(self, line: str) -> None:
        self.shell.type(line.replace("\n", "\r") + "\r")

    async def run(self, command: str) -> None:
        """Run a command to its end. Its output is printed line by line, also what background jobs write later."""
        kept = self._rest = ""

        def output(text: str) -> None:
            nonlocal kept
            kept = (kept + text)[-LIVE_OUTPUT_LIMIT:]
            whole, newline, self._rest = (self._rest + text).rpartition("\n")
            if newline:
                self._screen.output(whole)
            if len(self._rest) > LONGEST_LINE or not self.shell.running:
                self._print_rest()
            elif self.feeding:
                self._tell()  # what it asks is the label

        self._alive = True
        folder = self.shell.cwd
        asyncio.get_running_loop().call_soon(self._tell)  # it runs: what is typed goes to it
        try:
            code = await self.shell.run(command, output)
        except (OSError, ValueError) as error:  # too long, a null character, no more processes
            self._screen.line(plain(str(error)), "error")
            return
        self._print_rest()
        self.last = LastCommand(command, folder, kept, code)
        if code != 0:
            self._screen.line(f"({ending(code)})", "dim")
        self._tell_end()

    def _print_rest(self) -> None:
        rest, self._rest = self._rest, ""
        if rest:
            self._screen.output(rest)

    def kill(self) -> None:
        self._alive = False
        self.shell.kill()

    def _changed(self) -> None:
        if not self.shell.running:
            self._tell_end()
        self._tell()

    def _tell_end(self) -> None:
        if self._alive and not self.shell.alive:
            self._alive = False
            self._screen.line("The shell has ended; the next command starts a new one.", "dim")
