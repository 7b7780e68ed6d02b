"""Anthropic's Messages API on their SDK, an extra: `pip install 'kimi-agent[anthropic]'`."""

import contextlib
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import msgspec

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.message import Image, Message, Part, Text, Think, ToolCall, ToolResult
from kimi_agent.core.provider import CallChunk, Delta, Endpoint, Finished, Model, Request, TextChunk, ThinkChunk, Tokens
from kimi_agent.providers.chat_request import CANNOT_SEE, encodable, wire_arguments, wire_id, wire_name
from kimi_agent.providers.sdk import client_options, deltas

if TYPE_CHECKING:
    import anthropic

DEFAULT_MAX_TOKENS = 32_000  # the API wants a limit; shared with thinking
CACHE = {"cache_control": {"type": "ephemeral"}}
FIELD = "thinking"
# Models from before adaptive thinking: they want a budget in tokens.
BUDGETED = re.compile(r"claude-(3|(opus|sonnet)-4-(0|1|5|20\d{6})|(opus|sonnet)-4$|haiku-4)")
BUDGETS = {"low": 4_096, "medium": 10_000}
DEFAULT_BUDGET = 16_000
REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}


class Anthropic:
    """Provider for one Claude model. Raises ConfigError at once when the SDK is not installed."""

    def __init__(self, endpoint: Endpoint, model: Model) -> None:
        if find_spec("anthropic") is None:
            raise ConfigError(
                "The provider type 'anthropic' needs a package that is not installed.",
                "Install it: pip install 'kimi-agent[anthropic]'",
            )
        self.model = model
        self.endpoint = endpoint
        self._client: anthropic.AsyncAnthropic | None = None

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        import anthropic

        if self._client is None:
            options = client_options(self.endpoint, anthropic)
            options["base_url"] = options["base_url"].rstrip("/").removesuffix("/v1")  # the SDK adds it
            self._client = anthropic.AsyncAnthropic(**options)
        body = request_body(request, self.endpoint, self.model)
        required = {name: body.pop(name) for name in ("model", "messages", "max_tokens")}
        opening = self._client.messages.create(**required, stream=True, extra_body=body)
        reply = _Reply()
        async with contextlib.aclosing(deltas(opening, self.endpoint, anthropic, reply)) as found:
            async for delta in found:
                yield delta

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def request_body(request: Request, endpoint: Endpoint, model: Model) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model.id, "max_tokens": request.max_output or DEFAULT_MAX_TOKENS}
    if request.tools:
        body["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": t.schema} for t in request.tools
        ]
    if request.system.strip():
        body["system"] = [{"type": "text", "text": request.system, **CACHE}]
    elif request.tools:
        body["tools"][-1].update(CACHE)
    body.update(_thinking(request.thinking, model.id, body["max_tokens"]))
    body["messages"] = _messages(request.messages, not model.capabilities or "image_in" in model.capabilities)
    return dict(encodable({**body, **endpoint.sampling}))


def _thinking(thinking: str | None, model_id: str, max_tokens: int) -> dict[str, Any]:
    if thinking is None:
        return {}
    if thinking == "off":
        return {"thinking": {"type": "disabled"}}
    if BUDGETED.search(model_id):
        budget = max(1024, min(BUDGETS.get(thinking, DEFAULT_BUDGET), max_tokens - 1024))
        return {"thinking": {"type": "enabled", "budget_tokens": budget}}
    effort = {} if thinking == "on" else {"output_config": {"effort": thinking}}
    return {"thinking": {"type": "adaptive"}, **effort}


def _messages(history: Iterable[Message], images: bool) -> list[dict[str, Any]]:
    """Neighbours of one role joined (results of parallel calls belong into one message), the last two user messages
    marked for the cache: the second mark is the one that the step before wrote."""
    joined: list[dict[str, Any]] = []
    for message in history:
        role = "assistant" if message.role == "assistant" else "user"
        blocks = list(_blocks(message.parts, images))
        if not any(block["type"] not in ("thinking", "redacted_thinking") for block in blocks):
            continue  # thinking alone is refused
        if joined and joined[-1]["role"] == role:
            joined[-1]["content"] += blocks
        else:
            joined.append({"role": role, "content": blocks})
    for entry in [entry for entry in joined if entry["role"] == "user"][-2:]:
        entry["content"][-1].update(CACHE)
    return joined


def _blocks(parts: Iterable[Part], images: bool) -> Iterator[dict[str, Any]]:
    for part in parts:
        match part:
            case Text(text) if text.strip():
                yield {"type": "text", "text": text}
            case Think(field=field, details=details) if field == FIELD:
                yield from (dict(detail) for detail in details)
            case Image(data, media_type) if images:
                yield {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}
            case Image(name=name, media_type=media_type):
                yield {"type": "text", "text": CANNOT_SEE.format(name=name or media_type)}
            case ToolCall(call_id, name, arguments):
                value = msgspec.json.decode(wire_arguments(arguments))
                yield {"type": "tool_use", "id": wire_id(call_id, keep=False), "name": wire_name(name), "input": value}
            case ToolResult(call_id, content, is_error):
                blocks = list(_blocks(content, images)) or [{"type": "text", "text": "(no output)"}]
                head = {"type": "tool_result", "tool_use_id": wire_id(call_id, keep=False), "content": blocks}
                yield {**head, "is_error": True} if is_error else head
            case _:
                pass


class _Reply:
    """Events in, deltas out. `finished` is set by the event that says the reply is whole."""

    def __init__(self) -> None:
        self.finished = False
        self._blocks: dict[int, dict[str, Any]] = {}  # thinking blocks being streamed, by the API's index
        self._calls: dict[int, int] = {}  # the API's index -> ours
        self._input = self._output = self._cached = 0
        self._reason = ""

    def feed(self, event: Any) -> Iterator[Delta]:
        match event.type:
            case "message_start":
                self._count(event.message.usage)
            case "content_block_start":
                yield from self._start(event.index, event.content_block)
            case "content_block_delta":
                yield from self._delta(event.index, event.delta)
            case "content_block_stop":
                if block := self._blocks.pop(event.index, None):
                    yield ThinkChunk("", FIELD, (block,))
            case "message_delta":
                self._reason = event.delta.stop_reason or self._reason
                self._count(event.usage)
            case "message_stop":
                self.finished = True
                yield Tokens(self._input, self._output, self._cached)
                yield Finished(REASONS.get(self._reason, self._reason) or "stop")

    def _start(self, index: int, block: Any) -> Iterator[Delta]:
        if block.type == "tool_use":
            ours = self._calls[index] = len(self._calls)
            yield CallChunk(ours, block.id, block.name)
        elif block.type == "thinking":
            self._blocks[index] = {"type": "thinking", "thinking": block.thinking, "signature": block.signature or ""}
        elif block.type == "redacted_thinking":
            self._blocks[index] = {"type": "redacted_thinking", "data": block.data}
        elif block.type == "text" and block.text:
            yield TextChunk(block.text)

    def _delta(self, index: int, delta: Any) -> Iterator[Delta]:
        match delta.type:
            case "text_delta":
                yield TextChunk(delta.text)
            case "input_json_delta" if index in self._calls:
                if delta.partial_json:
                    yield CallChunk(self._calls[index], arguments=delta.partial_json)
            case "thinking_delta":
                self._blocks[index]["thinking"] += delta.thinking
                yield ThinkChunk(delta.thinking, FIELD)
            case "signature_delta":
                self._blocks[index]["signature"] = delta.signature

    def _count(self, usage: Any) -> None:
        """The counts are totals so far; a message_delta may leave out those of the input."""
        self._output = usage.output_tokens or self._output
        parts = [
            getattr(usage, name, None) or 0
            for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        ]
        if any(parts):
            self._input, self._cached = sum(parts), parts[1]
