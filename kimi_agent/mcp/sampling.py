"""A server asks the model for an answer (sampling): only where its entry allows that, and a person agrees each time."""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kimi_agent.core.ask import Ask, Choice, Chosen, Item, Option
from kimi_agent.core.errors import KimiError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.servers import Sampler
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.form import line

if TYPE_CHECKING:
    from mcp import types

ALLOW, DECLINE = "Answer this once", "Decline"
_REJECTED = -1
"""The code of the specification for a person's no."""
_INVALID, _INTERNAL = -32602, -32603
_TOKEN = 4  # characters, about


class Sampling:
    """`ask` and `sampler` answer who is asked for a session (see `Link`), and who answers; None for nobody.

    `limit` is in tokens, of one session.
    """

    def __init__(self, ask: Callable[[str], Ask | None], sampler: Callable[[str], Sampler | None], limit: int) -> None:
        self._ask, self._sampler, self._limit = ask, sampler, limit

    async def __call__(
        self, server: Server, params: Any, session: str = ""
    ) -> "types.CreateMessageResult | types.ErrorData":
        """The answer to a request of `server`; see `Link.sample`."""
        from mcp import types

        ask, sampler = self._ask(session), self._sampler(session)
        if ask is None or sampler is None:
            return types.ErrorData(code=_REJECTED, message="There is nobody who could approve it.")
        if params.tools:
            return types.ErrorData(code=_INVALID, message="Tools are not offered in sampling.")
        messages = _messages(params.messages)
        if messages is None:
            return types.ErrorData(code=_INVALID, message="Only text is taken in sampling.")
        system = params.system_prompt or ""
        room = self._limit - sampler.tokens - sum(len(text) for text in (system, *(t for _, t in messages))) // _TOKEN
        if room <= 0:
            why = f"The budget for sampling is used up: {sampler.tokens:,} of {self._limit:,} tokens."
            return types.ErrorData(code=_REJECTED, message=why)
        tokens = max(1, min(params.max_tokens, room))
        if not await self._agreed(ask, sampler, server, system, messages, tokens):
            return types.ErrorData(code=_REJECTED, message="User rejected sampling request")
        try:
            answer = await sampler(system, messages, tokens)
        except KimiError as error:
            return types.ErrorData(code=_INTERNAL, message=line(str(error), 500))
        return types.CreateMessageResult(
            role="assistant",
            content=types.TextContent(type="text", text=answer.text),
            model=answer.model,
            stop_reason="maxTokens" if answer.cut_off else "endTurn",
        )

    async def _agreed(
        self, ask: Ask, sampler: Sampler, server: Server, system: str, messages: Sequence[tuple[str, str]], tokens: int
    ) -> bool:
        name = line(server.name, 64)
        spent = (
            f"{line(sampler.model, 80)} would answer with at most {tokens:,} tokens. So far in this session: {sampler.count} "
            f"answer{'' if sampler.count == 1 else 's'}, {sampler.tokens:,} of {self._limit:,} tokens."
        )
        parts = [f"This is what it would be asked, whole. {spent}"]
        parts += [f"System prompt:\n\n{_fenced(system)}"] if system else []
        parts += [f"{'Assistant' if role == 'assistant' else 'User'}:\n\n{_fenced(text)}" for role, text in messages]
        options = (Option(DECLINE), Option(ALLOW, "the answer goes to the server"))
        item = Item(f"May the MCP server {name} ask the model?", options, other=False)
        answer = await ask(Choice((item,), "\n\n".join(parts)))
        return isinstance(answer, Chosen) and answer.values == ((ALLOW,),)


def _messages(given: Sequence[Any]) -> list[tuple[str, str]] | None:
    """Role and text of each; None where something else than text is among them."""
    found = []
    for message in given:
        blocks = message.content if isinstance(message.content, list) else [message.content]
        if any(block.type != "text" for block in blocks):
            return None
        found.append((message.role, "\n".join(block.text for block in blocks)))
    return found


def _fenced(text: str) -> str:
    """A block that no text can end early."""
    text = visible(plain(text))
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}text\n{text}\n{fence}"
