"""Line mode: a conversation that scrolls. It owns no screen of its own: what was printed stays, as in any shell."""

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kimi_agent.agent.late import trusts
from kimi_agent.agent.session_servers import warm
from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError
from kimi_agent.core.exit import ExitCode, error_code
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.signals import ending_with
from kimi_agent.frontends.common.terminal import can_draw
from kimi_agent.frontends.line.screen import Owner, Screen
from kimi_agent.frontends.line.shell import LineShell

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent


WARM_S = 0.2
"""Seconds after which the box is proved: the first paint comes before it."""


class LineFrontend:
    """`kimi --line`. `prompt` is run at once.

    `plain`: in words and without any escape sequence, as a screen reader wants it; None means so where the terminal is not
    known to understand them.
    """

    def __init__(
        self,
        prompt: str = "",
        *,
        session_id: str | None = None,
        mode: ev.Mode = "default",
        model: str | None = None,
        cwd: Path | None = None,
        plain: bool | None = None,
        look: Look = Look(),  # noqa: B008 - frozen
    ) -> None:
        self._prompt = prompt
        self._open: dict[str, Any] = {"session_id": session_id, "mode": mode, "model": model, "cwd": cwd}
        self._look = look
        self._plain = must_be_plain() if plain is None else plain
        self._rings = bool(plain) and can_draw(os.environ)
        self._code: int = ExitCode.DONE

    async def run(self, agent: "Agent") -> int:
        """Talk until the person leaves; answers an `ExitCode`."""
        try:
            shell = LineShell(agent, self._make_screen, self._open, self._look)
        except KimiError as error:
            sys.stderr.write(f"kimi: {error.full}\n")
            return error_code(type(error).__name__)
        try:
            with ending_with(lambda code: self._end(shell, code)):
                shell.start(self._prompt)  # who sees the prompt may type, and what is typed outlives a signal
                if trusts(agent, shell.session.cwd):  # else nothing is run before a command
                    asyncio.get_running_loop().call_later(WARM_S, warm, shell.session)
                await shell.screen.run()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._code = ExitCode.HUNG_UP
        await shell.close()
        if self._code != ExitCode.HUNG_UP:
            name = f"Session {shell.session.id}"
            kept = f"{name} is kept. Go on with: kimi -r {shell.session.id}"
            shell.screen.line(kept if shell.session.saved else f"{name} could not be saved.", "dim")
        return self._code

    def _make_screen(self, owner: Owner) -> Screen:
        if self._plain:
            from kimi_agent.frontends.line.plain import PlainScreen

            return PlainScreen(owner, rings=self._rings)
        from kimi_agent.frontends.line.terminal import RichScreen

        return RichScreen(owner, self._look)

    def _end(self, shell: LineShell, code: int) -> None:
        self._code = code
        shell.leave(shell.screen.draft())


def must_be_plain() -> bool:
    """Where escape sequences would be noise: no terminal, a dumb one, a build's log, a person who wants no colours."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return not can_draw(os.environ) or bool(os.environ.get("NO_COLOR"))
