"""Subagents as sessions of their own, for a client that has such: what one does is told in its session, as it happens.

The client may change nothing of them: none of the capabilities that a child can have is given.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from kimi_agent.core import event as ev
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import one_line

if TYPE_CHECKING:
    from kimi_acp.translate import Translation

STOPS = {
    "done": "end_turn", "interrupted": "cancelled", "max_steps": "max_turn_requests", "rejected": "end_turn",
    "repeated_calls": "max_turn_requests", "cut_off": "max_tokens", "error": "error",
}  # fmt: skip
"""Why a turn has ended, in the words of the protocol."""


class Told(dict[str, Any]):
    """An update of another session than that whose events are told."""

    session: str = ""


def told_in(session: str, update: dict[str, Any]) -> Told:
    told = Told(update)
    told.session = getattr(update, "session", session)
    return told


class Children:
    """Those of one session. `make` makes the translation of a child, given its session id."""

    def __init__(self, session: str, make: "Callable[[str], Translation]") -> None:
        self._session, self._make = session, make
        self._of_call: dict[str, str] = {}  # by call: the session of its subagent
        self._known: dict[str, Translation] = {}
        self._working: dict[str, str] = {}  # by session: the call that it works for
        self._asked = 0

    def knows(self, call: str, event: ev.Event) -> bool:
        """Whether an event is a subagent's: other things happen inside of calls, too."""
        return isinstance(event, ev.SubagentStarted) or call in self._of_call

    def apply(self, call: str, event: ev.Event) -> list[dict[str, Any]]:
        if isinstance(event, ev.SubagentStarted):
            return self._begin(call, event)
        name = self._of_call[call]
        told: list[dict[str, Any]] = [told_in(name, update) for update in self._known[name].apply(event)]
        return [*told, self._idle(name, event)] if isinstance(event, ev.TurnEnded) else told

    def session_of(self, call: str) -> str | None:
        for name, child in self._known.items():
            if child.has(call):
                return name
            if (deeper := child.session_of(call)) is not None:
                return deeper
        return None

    def rest(self, calls: Iterable[str]) -> Iterable[dict[str, Any]]:
        """The end of those that have none in the log and that do not run for one of these calls: they were killed."""
        running = set(calls)
        for name, call in list(self._working.items()):
            if call not in running:
                yield self._idle(name, ev.TurnEnded("interrupted"))

    def _begin(self, call: str, event: ev.SubagentStarted) -> list[dict[str, Any]]:
        """Its parent announces it, then it is asked; one that is taken up again is only asked."""
        name = self._of_call[call] = f"{self._session}/{event.agent_id}"
        self._working[name], self._asked = call, self._asked + 1
        update: dict[str, Any] = {"sessionUpdate": "subagent_update", "sessionId": name, "state": {"state": "running"}}
        if name not in self._known:
            self._known[name] = self._make(name)
            update |= {"title": one_line(event.description, 200) or name, "description": plain(event.agent_type)}
        ends = {"senderSessionId": self._session, "recipientSessionId": name}
        asked = {"sessionUpdate": "session_message", "messageId": f"order-{self._asked}", **ends}
        self._known[name].apply(event)
        return [update, told_in(name, {**asked, "content": [{"type": "text", "text": plain(event.prompt)}]})]

    def _idle(self, name: str, end: ev.TurnEnded) -> dict[str, Any]:
        self._working.pop(name, None)
        state: dict[str, Any] = {"state": "idle", "stopReason": STOPS[end.stop]}
        if end.stop == "error":
            state["error"] = {"code": -32603, "message": end.error}
        return {"sessionUpdate": "subagent_update", "sessionId": name, "state": state}
