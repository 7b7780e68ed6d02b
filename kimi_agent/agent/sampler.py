"""Answers of the session's model for others than the agent: an MCP server asks (sampling). Nothing of it joins the history."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kimi_agent.agent.reply import collect
from kimi_agent.agent.tokens import cost, text_tokens
from kimi_agent.core import event as ev
from kimi_agent.core.message import Message, Text
from kimi_agent.core.provider import Request
from kimi_agent.core.servers import Sampled

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

_NAME = "sampling"


class SessionSampler:
    """See core.servers.Sampler. `count` and `tokens` are what the session has spent on it in this run."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self.count = self.tokens = 0

    @property
    def model(self) -> str:
        return self._session.model.name

    async def __call__(self, system: str, messages: Sequence[tuple[str, str]], max_tokens: int) -> Sampled:
        """Raises KimiError as a provider does; what was begun counts."""
        session, hidden = self._session, self._session.redactor.text
        runner = session.runner
        asked = [_message(role, hidden(text)) for role, text in messages]
        request = Request(f"{session.id}-{_NAME}", hidden(system), asked, (), max_tokens, runner.thinking)
        self.count += 1
        reply = await collect(runner.provider(), request, lambda event: None, set())
        if (used := reply.tokens) is not None:
            self.tokens += used.input + used.output
            model = session.model
            usage = ev.Usage(model.name, used.input, used.output, used.cached, cost(used, model.prices))
            session.emit_aside(ev.Nested(_NAME, usage))
        else:
            self.tokens += sum(map(text_tokens, (system, reply.text, *(text for _, text in messages))))
        return Sampled(hidden(reply.text.strip()), runner.model.name, cut_off=reply.finish == "length")


def _message(role: str, text: str) -> Message:
    return Message(
        "assistant" if role == "assistant" else "user", (Text(text),), "model" if role == "assistant" else "agent"
    )
