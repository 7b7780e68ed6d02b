"""The front end that the command line starts."""

import sys
from pathlib import Path
from typing import Any

from kimi_agent.agent.agent import Agent
from kimi_agent.core import event as ev
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.signals import ending_with
from kimi_agent.frontends.tui import keys
from kimi_agent.frontends.tui.app import KimiApp


class TuiFrontend:
    """What `kimi` starts in a terminal. `session_id` resumes a session, `prompt` is sent at once."""

    application: type[KimiApp] = KimiApp

    def __init__(
        self,
        session_id: str | None = None,
        prompt: str = "",
        mode: ev.Mode = "default",
        model: str | None = None,
        cwd: Path | None = None,
        look: Look = Look(),  # noqa: B008 - frozen
    ) -> None:
        self._arguments: dict[str, Any] = {
            "session_id": session_id, "prompt": prompt, "mode": mode, "model": model, "cwd": cwd, "look": look,
        }  # fmt: skip

    async def run(self, agent: Agent) -> int:
        """Show the session until the person leaves; answers an exit code. Raises SessionError and NoModelError."""
        keys.teach()
        app = self.application(agent, **self._arguments)
        with ending_with(app.leave, app.interrupted):
            await app.run_async()
        if app.fault is not None:
            raise app.fault
        session = app.talk.session
        if any(isinstance(event, ev.TurnStarted) for event in session.events()):
            kept = f"To go on with this session: kimi -r {session.id}"
            sys.stdout.write(f"{kept if session.saved else 'This session could not be saved.'}\n")
        return app.return_code or 0
