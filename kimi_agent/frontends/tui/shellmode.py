"""Shell mode (Ctrl-X): the prompt runs the person's own commands. The model neither sees nor runs them."""

from collections.abc import Callable, Iterable
from pathlib import Path

from kimi_agent.agent.transcript import LIVE_OUTPUT_LIMIT
from kimi_agent.frontends.common.describe import one_line, seconds
from kimi_agent.frontends.common.user_shell import UserShell
from kimi_agent.frontends.tui.draw.local import ShellBlock


class ShellMode:
    def __init__(self, cwd: Path, show: Callable[[Iterable[ShellBlock]], None], clock: Callable[[], float]) -> None:
        self.on = False
        self._shell = UserShell(cwd)
        self._show, self._clock = show, clock
        self._began = 0.0
        self._command = ""

    @property
    def running(self) -> bool:
        return self._shell.running

    @property
    def cwd(self) -> Path:
        return self._shell.cwd

    @cwd.setter
    def cwd(self, folder: Path) -> None:
        self._shell.cwd = folder

    async def run(self, command: str) -> None:
        """Run a command to its end, its output drawn as it comes."""
        self._began, self._command = self._clock(), command
        block = ShellBlock(command, str(self.cwd))
        self._show([block])

        def add(text: str) -> None:
            block.output = (block.output + text)[-LIVE_OUTPUT_LIMIT:]
            self._show([block])

        try:
            block.exit_code = await self._shell.run(command, add)
        except (OSError, ValueError) as error:
            block.output, block.exit_code = f"{error}", 126
        finally:
            block.running, block.seconds = False, self._clock() - self._began
            self._show([block])

    def activity(self) -> str:
        return f"{one_line(self._command, 40)} · {seconds(self._clock() - self._began)}"

    def interrupt(self) -> None:
        self._shell.interrupt()

    def kill(self) -> None:
        self._shell.kill()
