"""What happens in a session while no turn runs: drawn at once, and gone on with as soon as nothing else goes on."""

from typing import TYPE_CHECKING

from kimi_agent.agent.session import Session
from kimi_agent.frontends.common.listening import Listening

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.base import SessionApp


class Waking:
    def __init__(self, app: "SessionApp") -> None:
        self._app = app
        self._session: Session | None = None
        self._woken = False

    def follow(self, session: Session | None) -> None:
        """Listen to this session and to no other any more."""
        if self._session is not None:
            self._session.listen(None)
        self._session, self._woken = session, False
        if session is not None:
            session.listen(Listening(self._app.feed, self._wake))

    def _wake(self) -> None:
        self._woken = True
        self._app.call_later(self.go_on)

    def go_on(self) -> None:
        """Begin the turn that the session was woken for. A command may ask the person something: it is waited for."""
        session = self._session
        if session is None or not self._woken or self._app.busy:
            return
        self._woken = False
        if session.has_news:  # else a turn has heard of it meanwhile
            self._app.begin(session.go_on())
