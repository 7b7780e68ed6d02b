"""POST /v1/chat/completions."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from inference_backend.chat.parser import StreamParser
from inference_backend.chat.render import Rendered, render
from inference_backend.chat.template import Template
from inference_backend.engine.request import Request as EngineRequest
from inference_backend.engine.request import StepOutput
from inference_backend.errors import EngineError
from inference_backend.server.fields import Fields, wrong
from inference_backend.server.message import HttpError, Request, Response, dump, json_response
from inference_backend.server.metrics import Metrics
from inference_backend.server.params import chat_logprobs, read_params
from inference_backend.server.reply import ChatReply, Delta, fold, usage
from inference_backend.server.served import Desk, Served, new_id, to_http
from inference_backend.server.strict_json import read_object

MOST_SESSION_CHARS = 512
_UNKNOWN_TO_US = ("functions", "function_call", "audio", "web_search_options")


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request that can be answered."""

    engine: EngineRequest
    rendered: Rendered
    names: list[str]
    """Of the tools that may be called."""
    stops: tuple[str, ...]
    streams: bool
    with_usage: bool


class ChatApi:
    def __init__(self, served: Served, desk: Desk, metrics: Metrics) -> None:
        self._served, self._desk, self._metrics = served, desk, metrics

    async def __call__(self, request: Request) -> Response:
        asked = await asyncio.to_thread(self._read, request.body)  # a long history takes a while to encode
        if asked.streams:
            return Response(body=told_in_the_stream(self._stream(asked)), content_type="text/event-stream")
        return json_response(await self._whole(asked))

    def _read(self, body: bytes) -> Asked:
        """Raises HttpError."""
        raw = read_object(body)
        fields = Fields(raw)
        self._served.check_name(fields.text("model", 512))
        for name in _UNKNOWN_TO_US:
            if raw.get(name):
                raise HttpError(400, f"{name} is not supported here", param=name, code="unsupported_parameter")
        try:
            return self._ask(fields)
        except EngineError as error:
            raise to_http(error) from None

    def _ask(self, fields: Fields) -> Asked:
        served = self._served
        tools, choice = fields.take("tools") or None, fields.take("tool_choice")
        params = read_params(fields, served.defaults, logprobs=chat_logprobs(fields), stop_tokens=served.stop_tokens)
        stops = fields.stops()
        drafts = self._drafts(fields)
        session = fields.text("prompt_cache_key", MOST_SESSION_CHARS)
        thinking, preserve = _thinking(fields)
        rendered = render(
            fields.take("messages"), tools, tokenizer=served.tokenizer, template=served.template,
            thinking=_possible(thinking, served.template), preserve_thinking=preserve,
        )  # fmt: skip
        grammar = served.compiler.grammar(
            tools, tool_choice=choice, parallel=fields.flag("parallel_tool_calls", True),
            response_format=fields.take("response_format"), next_tool_index=rendered.next_tool_index,
            in_think=rendered.in_think, may_think=rendered.may_think,
        )  # fmt: skip
        names = [tool["function"]["name"] for tool in tools or ()]
        engine = EngineRequest(new_id("chatcmpl"), rendered.tokens, params, grammar, drafts, session)
        options = Fields(fields.object("stream_options"))
        return Asked(engine, rendered, names, stops, fields.flag("stream", False), options.flag("include_usage", False))

    def _drafts(self, fields: Fields) -> list[list[int]]:
        """Files in play as they would stand in the arguments of a call, and a predicted answer as it is."""
        encode = self._served.tokenizer.encode
        texts = [json.dumps(text, ensure_ascii=False)[1:-1] for text in fields.drafts()]
        if prediction := fields.prediction():
            texts.append(prediction)
        return [encode(text) for text in texts]

    def _reply(self, asked: Asked) -> ChatReply:
        parser = StreamParser(
            self._served.tokenizer, names=asked.names, next_tool_index=asked.rendered.next_tool_index,
            in_think=asked.rendered.in_think,
        )  # fmt: skip
        return ChatReply(parser, self._served.tokenizer, asked.stops)

    async def _whole(self, asked: Asked) -> dict[str, Any]:
        reply, deltas, last = self._reply(asked), list[Delta](), None
        async with self._desk.place(), aclosing(self._desk.outputs(self._served, asked.engine)) as outputs:
            async for output in outputs:
                if output is not None:
                    last = output
                    deltas += reply.feed(output)
                if reply.is_done:
                    self._served.engine.stop(asked.engine.id)
                    break
        message, logprobs = fold(deltas)
        choice = {
            "index": 0,
            "message": message,
            "logprobs": {"content": logprobs} if asked.engine.params.logprobs is not None else None,
            "finish_reason": reply.finish_reason,
        }
        return {**self._head(asked, "chat.completion"), "choices": [choice], "usage": self._usage(asked, reply, last)}

    async def _stream(self, asked: Asked) -> AsyncGenerator[bytes]:
        """Server-sent events. Progress and signs of life are comments, which every client skips."""
        head, reply, last = self._head(asked, "chat.completion.chunk"), self._reply(asked), None
        begun = False

        def chunk(delta: dict[str, Any], logprobs: list[dict[str, Any]] = [], reason: str | None = None) -> bytes:  # noqa: B006
            shown = {"content": logprobs} if logprobs else None
            choice = {"index": 0, "delta": delta, "logprobs": shown, "finish_reason": reason}
            return event({**head, "choices": [choice]})

        async with self._desk.place(), aclosing(self._desk.outputs(self._served, asked.engine)) as outputs:
            async for output in outputs:
                if output is None:
                    yield b": waiting\n\n"
                    continue
                last = output
                parts = [chunk(delta, delta.logprobs) for delta in reply.feed(output)]
                if not begun and output.tokens:
                    begun = True
                    parts.insert(0, chunk({"role": "assistant", "content": ""}))
                if not begun:
                    parts.append(progress(output))
                if reply.is_done:
                    self._served.engine.stop(asked.engine.id)
                    break
                if parts:
                    yield b"".join(parts)
        counts = self._usage(asked, reply, last)
        parts.append(chunk({}, reason=reply.finish_reason))
        if asked.with_usage:
            parts.append(event({**head, "choices": [], "usage": counts}))
        yield b"".join([*parts, b"data: [DONE]\n\n"])

    def _head(self, asked: Asked, kind: str) -> dict[str, Any]:
        return {"id": asked.engine.id, "object": kind, "created": int(time.time()), "model": self._served.name}

    def _usage(self, asked: Asked, reply: ChatReply, last: StepOutput | None) -> dict[str, Any]:
        counts = usage(len(asked.engine.prompt), reply.completion_tokens, reply.reasoning_tokens, last)
        self._metrics.answered("chat", reply.finish_reason, counts)
        return counts


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + dump(value) + b"\n\n"


def progress(output: StepOutput) -> bytes:
    """How far the prompt is, as a comment: `: kimi {"prefill":{"done":512,"total":2048,"cached":64}}`."""
    done, total = output.progress
    return b": kimi " + dump({"prefill": {"done": done, "total": total, "cached": output.cached_tokens}}) + b"\n\n"


async def told_in_the_stream(parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same parts; what goes wrong after the first of them, when the status is out, becomes an event."""
    begun = False
    async with aclosing(parts) as stream:
        try:
            async for part in stream:
                yield part
                begun = True
        except HttpError as error:
            if not begun:
                raise
            yield event(error.shape())


def _possible(thinking: bool | None, template: Template) -> bool | None:
    """None for what the model cannot do: a client that always says what it wants goes on with the model's custom."""
    if template.thinking == "never" or (thinking is False and not template.can_rest):
        return None
    return thinking


def _thinking(fields: Fields) -> tuple[bool | None, bool | None]:
    """Whether to think, and whether thoughts of earlier turns stay; None leaves it to the model's custom.

    Moonshot's `thinking`, the template's own switches as open servers take them, and OpenAI's `reasoning_effort`.
    """
    kwargs = Fields(fields.object("chat_template_kwargs"))
    chosen = kwargs.take("thinking")
    preserve = kwargs.take("preserve_thinking")
    asked = fields.object("thinking")
    if asked:
        if asked.get("type") not in ("enabled", "disabled"):
            raise wrong("thinking", "an object of the type enabled or disabled")
        chosen = asked["type"] == "enabled"
        preserve = True if asked.get("keep") == "all" else preserve
    if fields.text("reasoning_effort", 32) == "none" and chosen is None:
        chosen = False
    for value in (chosen, preserve):
        if value is not None and not isinstance(value, bool):
            raise wrong("chat_template_kwargs", "an object whose thinking and preserve_thinking are true or false")
    return chosen, preserve
