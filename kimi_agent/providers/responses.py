"""OpenAI's Responses API, for OpenAI's own models, on their SDK. Nothing is stored there: reasoning goes back encrypted."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kimi_agent.core.message import Image, Message, Part, Text, Think, ToolCall, ToolResult
from kimi_agent.core.provider import (
    CallChunk,
    Delta,
    Endpoint,
    Finished,
    Model,
    Request,
    TextChunk,
    ThinkChunk,
    Tokens,
    ToolSpec,
)
from kimi_agent.providers.chat_request import CANNOT_SEE, encodable, wire_arguments, wire_id, wire_name
from kimi_agent.providers.failures import failure_of, to_error
from kimi_agent.providers.sdk import client_options, deltas

if TYPE_CHECKING:
    import openai

FIELD = "reasoning_item"
TEXT_EVENTS = ("response.output_text.delta", "response.refusal.delta")
THINK_EVENTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
END_EVENTS = ("response.completed", "response.incomplete")


class Responses:
    """Provider for one model of OpenAI's. The SDK is imported at the first request: it costs a second of CPU."""

    def __init__(self, endpoint: Endpoint, model: Model) -> None:
        self.model = model
        self.endpoint = endpoint
        self._client: openai.AsyncOpenAI | None = None

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        import openai

        if self._client is None:
            self._client = openai.AsyncOpenAI(**client_options(self.endpoint, openai))
        body = request_body(request, self.endpoint, self.model)
        reply = _Reply(self.endpoint)
        # `extra_body` sends the fields as they are: the SDK's own names for them change from version to version.
        opening = self._client.responses.create(
            model=body.pop("model"), input=body.pop("input"), stream=True, extra_body=body
        )
        async with contextlib.aclosing(deltas(opening, self.endpoint, openai, reply)) as found:
            async for delta in found:
                yield delta

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def request_body(request: Request, endpoint: Endpoint, model: Model) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model.id, "store": False}
    if request.session_id:
        body["prompt_cache_key"] = request.session_id
    if request.system.strip():
        body["instructions"] = request.system
    if request.tools:
        body["tools"] = [_tool(spec) for spec in request.tools]
    if request.thinking == "off":
        body["reasoning"] = {"effort": "none"}
    elif request.thinking or {"thinking", "always_thinking"} & model.capabilities:
        effort = {} if request.thinking in (None, "on") else {"effort": request.thinking}
        body["reasoning"] = {**effort, "summary": "auto"}
        body["include"] = ["reasoning.encrypted_content"]
    if request.max_output is not None:
        body["max_output_tokens"] = request.max_output
    images = not model.capabilities or "image_in" in model.capabilities
    body["input"] = [item for message in request.messages for item in _items(message, images)]
    return dict(encodable({**body, **endpoint.sampling}))


def _tool(spec: ToolSpec) -> dict[str, Any]:
    value = {"type": "function", "name": spec.name, "description": spec.description, "parameters": spec.schema}
    return {**value, "strict": False}


def _items(message: Message, images: bool) -> Iterator[dict[str, Any]]:
    """A message is several items here: reasoning, text, calls, each call's output."""
    if message.role == "user":
        if content := _content(message.parts, images):
            yield {"role": "user", "content": content}
        return
    for part in message.parts:
        match part:
            case Think(field=field, details=details) if field == FIELD:
                yield from details
            case Text(text) if text.strip():
                yield {"role": "assistant", "content": text}
            case ToolCall(call_id, name, arguments):
                call = {"call_id": wire_id(call_id, keep=False), "name": wire_name(name)}
                yield {"type": "function_call", **call, "arguments": wire_arguments(arguments)}
            case ToolResult(call_id, shown):
                output: Any = _content(shown, images) or "(no output)"
                if isinstance(output, list) and all(item["type"] == "input_text" for item in output):
                    output = "".join(item["text"] for item in output)
                yield {"type": "function_call_output", "call_id": wire_id(call_id, keep=False), "output": output}
            case _:
                pass


def _content(parts: Iterable[Part], images: bool) -> list[dict[str, Any]]:
    content = []
    for part in parts:
        if isinstance(part, Text) and part.text.strip():
            content.append({"type": "input_text", "text": part.text})
        elif isinstance(part, Image) and images:
            content.append({"type": "input_image", "image_url": f"data:{part.media_type};base64,{part.data}"})
        elif isinstance(part, Image):
            content.append({"type": "input_text", "text": CANNOT_SEE.format(name=part.name or part.media_type)})
    return content


class _Reply:
    """Events in, deltas out. `finished` is set by the event that says the reply is whole."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.finished = False
        self._endpoint = endpoint
        self._calls: dict[int, int] = {}  # the API's output_index -> ours
        self._with_arguments: set[int] = set()
        self._summaries = 0

    def feed(self, event: Any) -> Iterator[Delta]:
        kind = event.type
        if kind in TEXT_EVENTS:
            yield TextChunk(event.delta)
        elif kind in THINK_EVENTS:
            yield ThinkChunk(event.delta, FIELD)
        elif kind == "response.reasoning_summary_part.added":
            self._summaries += 1
            if self._summaries > 1:
                yield ThinkChunk("\n\n", FIELD)
        elif kind == "response.function_call_arguments.delta" and event.output_index in self._calls:
            self._with_arguments.add(event.output_index)
            yield CallChunk(self._calls[event.output_index], arguments=event.delta)
        elif kind == "response.output_item.added" and event.item.type == "function_call":
            index = self._calls[event.output_index] = len(self._calls)
            yield CallChunk(index, event.item.call_id, event.item.name)
        elif kind == "response.output_item.done":
            yield from self._item_done(event)
        elif kind in END_EVENTS:
            yield from self._end(event.response)
        elif kind == "response.failed":
            error = event.response.error
            raise to_error(
                failure_of({"code": getattr(error, "code", ""), "message": getattr(error, "message", "")}),
                self._endpoint,
            )
        elif kind == "error":
            raise to_error(failure_of({"code": event.code or "", "message": event.message}), self._endpoint)

    def _item_done(self, event: Any) -> Iterator[Delta]:
        item = event.item
        if item.type == "reasoning":
            # Without its id the API takes the item anywhere; with it, it insists on the item that came next.
            value = item.model_dump(exclude_none=True, exclude={"id", "status"})
            if value.get("encrypted_content"):
                yield ThinkChunk("", FIELD, ({"summary": [], **value},))
        elif item.type == "function_call" and event.output_index not in self._with_arguments:
            yield CallChunk(self._calls[event.output_index], arguments=item.arguments)

    def _end(self, response: Any) -> Iterator[Delta]:
        self.finished = True
        if usage := response.usage:
            cached = getattr(usage.input_tokens_details, "cached_tokens", 0) or 0
            thought = getattr(usage.output_tokens_details, "reasoning_tokens", 0) or 0
            yield Tokens(usage.input_tokens, usage.output_tokens, cached, thought)
        if response.status == "incomplete":
            reason = getattr(response.incomplete_details, "reason", "") or "incomplete"
            yield Finished("length" if reason == "max_output_tokens" else reason)
        else:
            yield Finished("tool_calls" if self._calls else "stop")
