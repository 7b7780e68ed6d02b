"""The MCP servers of a session: when they are started, and how others take their place while it runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from kimi_agent.agent.calls import locked_ask
from kimi_agent.agent.sampler import SessionSampler
from kimi_agent.core.ask import Answer, Ask, Dismissed, Question
from kimi_agent.core.servers import Servers

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session


def warm(session: "Session", proved: Callable[[], None] = lambda: None) -> None:
    """Start what takes a while and will be needed: the box is proved (then `proved` is called), servers are connected to."""
    if session.box is not None:
        session.box.warm(proved)
    if session.servers is not None:
        session.servers.start()


def _asking(session: "Session") -> Ask:
    """Its person, one question at a time; nobody while they are away."""
    ask = locked_ask(session.runner.caller)

    async def unless_away(question: Question) -> Answer:
        return Dismissed() if session.mode == "afk" else await ask(question)

    return unless_away


def take_servers(session: "Session", servers: Servers | None) -> None:
    """Its tools are those of these servers from now on, and its person answers what they ask for."""
    session.servers = session.runner.caller.more = servers
    if servers is not None:
        servers.attend(session.id, _asking(session), SessionSampler(session))
        session.runner.caller.permissions.doubts = servers.doubted
