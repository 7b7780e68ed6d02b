"""What comes before the first prompt: whether the folder is trusted, and its servers. It is asked when the screen is there."""

from typing import TYPE_CHECKING

from kimi_agent.agent.late import left_out, trusts
from kimi_agent.agent.session_servers import warm
from kimi_agent.agent.transcript import NoticeBlock
from kimi_agent.mcp_approval import settle_servers, unapproved
from kimi_agent.trust_command import settle_trust

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.base import SessionApp


class Settling:
    def __init__(self, app: "SessionApp") -> None:
        self._app = app
        self._asks = False
        self._held: list[str] = []

    def begin(self, prompt: str) -> None:
        """Send the first prompt, if there is one, when nothing is left to ask."""
        self._held = [prompt] if prompt else []
        session = self._app.talk.session
        self._asks = bool(left_out(self._app.agent, session.cwd) or unapproved(session))
        if self._asks:
            self._app.run_worker(self._settle(), group="command")
        else:
            self._send()

    def holds(self, text: str) -> bool:
        """Whether a prompt waits for the answer."""
        if self._asks:
            self._held.append(text)
        return self._asks

    def warm_box(self) -> None:
        """Prove the box before a command needs it; in a folder that nobody trusts nothing is run before that."""
        app = self._app
        session = app.talk.session
        if trusts(app.agent, session.cwd):
            warm(session, lambda: app.call_from_thread(app.update_bars))

    async def _settle(self) -> None:
        app, before = self._app, self._app.talk.session
        try:
            stays = await settle_trust(app.commands)
            if stays and trusts(app.agent, app.talk.session.cwd):
                self.warm_box()
                await settle_servers(app.commands)
        finally:
            self._asks = False
        if app.talk.session is not before:  # what was told before is gone from the screen
            app.view.show([NoticeBlock(0, "warning", text) for text in app.agent.notices])
        if stays:
            self._send()

    def _send(self) -> None:
        held, self._held = self._held, []
        for text in held:
            self._app.submit(text)
