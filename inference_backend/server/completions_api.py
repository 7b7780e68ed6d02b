"""POST /v1/completions: text goes on, without a chat around it."""

import asyncio
import codecs
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.engine.request import MAX_LOGPROBS, StepOutput, TokenLogprob
from inference_backend.engine.request import Request as EngineRequest
from inference_backend.errors import EngineError
from inference_backend.server.chat_api import MOST_SESSION_CHARS, event, progress, told_in_the_stream
from inference_backend.server.fields import Fields, wrong
from inference_backend.server.message import HttpError, Request, Response, json_response
from inference_backend.server.metrics import Metrics
from inference_backend.server.params import read_params
from inference_backend.server.reply import LEAST_LOGPROB, token_bytes, usage
from inference_backend.server.served import Desk, Served, new_id, to_http
from inference_backend.server.stops import StopStrings
from inference_backend.server.strict_json import read_object


@dataclass(frozen=True, slots=True)
class Asked:
    engine: EngineRequest
    stops: tuple[str, ...]
    streams: bool
    with_usage: bool


@dataclass(slots=True)
class Part:
    """Some text of the answer, and the logprobs of its tokens as the completions API has them."""

    text: str = ""
    logprobs: dict[str, list[Any]] = field(
        default_factory=lambda: {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    )


class TextReply:
    """Tokens in, text out. Special tokens have no text."""

    def __init__(self, tokenizer: Tokenizer, stops: tuple[str, ...]) -> None:
        self.is_done = False
        self.finish_reason = ""
        self.completion_tokens = 0
        self._tokenizer, self._stops = tokenizer, StopStrings(stops)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._offset = 0

    def feed(self, output: StepOutput) -> Part:
        part, texts = Part(), []
        for number, token in enumerate(output.tokens):
            self.completion_tokens += 1
            raw = b"" if token >= self._tokenizer.ordinary_count else token_bytes(token, self._tokenizer)
            text = self._decoder.decode(raw)
            texts.append(self._stops.feed(text))
            if output.logprobs:
                self._note(part, token, output.logprobs[number])
            self._offset += len(text)
            if self._stops.found:
                break
        if self._stops.found:
            self.is_done, self.finish_reason = True, "stop"
        elif output.finish_reason is not None:
            self.is_done, self.finish_reason = True, output.finish_reason
            texts += [self._stops.feed(self._decoder.decode(b"", final=True)), self._stops.end()]
        part.text = "".join(texts)
        return part

    def _note(self, part: Part, token: int, found: TokenLogprob) -> None:
        def name(each: int) -> str:
            return token_bytes(each, self._tokenizer).decode("utf-8", "replace")

        part.logprobs["tokens"].append(name(token))
        part.logprobs["token_logprobs"].append(max(found.logprob, LEAST_LOGPROB))
        part.logprobs["top_logprobs"].append({name(each): max(value, LEAST_LOGPROB) for each, value in found.top})
        part.logprobs["text_offset"].append(self._offset)


class CompletionsApi:
    def __init__(self, served: Served, desk: Desk, metrics: Metrics) -> None:
        self._served, self._desk, self._metrics = served, desk, metrics

    async def __call__(self, request: Request) -> Response:
        asked = await asyncio.to_thread(self._read, request.body)
        if asked.streams:
            return Response(body=told_in_the_stream(self._stream(asked)), content_type="text/event-stream")
        return json_response(await self._whole(asked))

    def _read(self, body: bytes) -> Asked:
        """Raises HttpError."""
        raw = read_object(body)
        fields = Fields(raw)
        self._served.check_name(fields.text("model", 512))
        for name in ("echo", "suffix"):
            if raw.get(name):
                raise HttpError(400, f"{name} is not supported here", param=name, code="unsupported_parameter")
        if (fields.count("best_of", 1, 1 << 20) or 1) != 1:
            raise wrong("best_of", "1")
        try:
            params = read_params(
                fields, self._served.defaults, logprobs=fields.count("logprobs", 0, MAX_LOGPROBS),
                stop_tokens=self._served.stop_tokens,
            )  # fmt: skip
        except EngineError as error:
            raise to_http(error) from None
        session = fields.text("prompt_cache_key", MOST_SESSION_CHARS)
        drafts = [self._served.tokenizer.encode(text) for text in fields.drafts()]
        engine = EngineRequest(new_id("cmpl"), self._prompt(fields), params, drafts=drafts, session=session)
        options = Fields(fields.object("stream_options"))
        return Asked(engine, fields.stops(), fields.flag("stream", False), options.flag("include_usage", False))

    def _prompt(self, fields: Fields) -> list[int]:
        prompt = fields.take("prompt")
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
            prompt = prompt[0]
        if isinstance(prompt, str):
            prompt = self._served.tokenizer.encode(prompt)
        is_tokens = isinstance(prompt, list) and all(
            isinstance(one, int) and not isinstance(one, bool) for one in prompt
        )
        if not is_tokens or not prompt:
            raise wrong("prompt", "one text or one list of token ids, not empty")
        return prompt

    async def _whole(self, asked: Asked) -> dict[str, Any]:
        reply, whole, last = TextReply(self._served.tokenizer, asked.stops), Part(), None
        async with self._desk.place(), aclosing(self._desk.outputs(self._served, asked.engine)) as outputs:
            async for output in outputs:
                if output is not None:
                    last, part = output, reply.feed(output)
                    whole.text += part.text
                    for name, values in part.logprobs.items():
                        whole.logprobs[name] += values
                if reply.is_done:
                    self._served.engine.stop(asked.engine.id)
                    break
        choice = self._choice(asked, whole, reply.finish_reason)
        return {**self._head(asked), "choices": [choice], "usage": self._usage(asked, reply, last)}

    async def _stream(self, asked: Asked) -> AsyncGenerator[bytes]:
        head, reply, last = self._head(asked), TextReply(self._served.tokenizer, asked.stops), None
        async with self._desk.place(), aclosing(self._desk.outputs(self._served, asked.engine)) as outputs:
            async for output in outputs:
                if output is None:
                    yield b": waiting\n\n"
                    continue
                last, part = output, reply.feed(output)
                if reply.is_done:
                    self._served.engine.stop(asked.engine.id)
                    break
                if part.text or part.logprobs["tokens"]:
                    yield event({**head, "choices": [self._choice(asked, part, None)]})
                elif not output.tokens:
                    yield progress(output)
        parts = [event({**head, "choices": [self._choice(asked, part, reply.finish_reason)]})]
        counts = self._usage(asked, reply, last)
        if asked.with_usage:
            parts.append(event({**head, "choices": [], "usage": counts}))
        yield b"".join([*parts, b"data: [DONE]\n\n"])

    def _head(self, asked: Asked) -> dict[str, Any]:
        return {
            "id": asked.engine.id,
            "object": "text_completion",
            "created": int(time.time()),
            "model": self._served.name,
        }

    def _choice(self, asked: Asked, part: Part, reason: str | None) -> dict[str, Any]:
        logprobs = part.logprobs if asked.engine.params.logprobs is not None else None
        return {"index": 0, "text": part.text, "logprobs": logprobs, "finish_reason": reason}

    def _usage(self, asked: Asked, reply: TextReply, last: StepOutput | None) -> dict[str, Any]:
        counts = usage(len(asked.engine.prompt), reply.completion_tokens, 0, last)
        self._metrics.answered("completions", reply.finish_reason, counts)
        return counts
