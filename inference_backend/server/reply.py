"""An answer in the making: tokens in, the parts of a chat message out, as a client of OpenAI's API expects them."""

from collections.abc import Sequence
from typing import Any

from inference_backend.chat.parser import CallArguments, CallStarted, ContentText, Piece, ReasoningText, StreamParser
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.engine.request import StepOutput, TokenLogprob
from inference_backend.server.stops import StopStrings

LEAST_LOGPROB = -9999.0
"""JSON has no minus infinity."""


class Delta(dict[str, Any]):
    """One part of a message: `content`, `reasoning_content` or `tool_calls`; `logprobs` of the tokens of its content."""

    logprobs: list[dict[str, Any]]


class ChatReply:
    """`feed` until `is_done`. Nothing that ends an answer (markers, stop strings) is ever part of a delta."""

    def __init__(self, parser: StreamParser, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self.is_done = False
        self.finish_reason = ""
        self.completion_tokens = self.reasoning_tokens = 0
        self._parser, self._tokenizer, self._stops = parser, tokenizer, StopStrings(stops)
        self._waiting: list[dict[str, Any]] = []  # logprobs of tokens whose text is not out yet
        self._undecided = 0  # tokens that have brought no piece yet

    def feed(self, output: StepOutput) -> list[Delta]:
        deltas: list[Delta] = []
        for number, token in enumerate(output.tokens):
            self.completion_tokens += 1
            self._undecided += 1
            if output.logprobs:
                self._waiting.append(logprob_entry(token, output.logprobs[number], self._tokenizer))
            self._take(self._parser.feed(token), deltas)
            if self._stops.found or self._parser.is_done:
                break
        if self._stops.found:
            self._finish("stop", deltas)
        elif output.finish_reason is not None or self._parser.is_done:
            self._take(self._parser.end(), deltas)
            if not self._stops.found and (held := self._stops.end()):
                self._say("content", held, deltas)
            self._finish(self._parser.finish_reason(output.finish_reason or "stop"), deltas)
        return deltas

    def _finish(self, reason: str, deltas: list[Delta]) -> None:
        self.is_done, self.finish_reason = True, reason

    def _take(self, pieces: Sequence[Piece], deltas: list[Delta]) -> None:
        for piece in pieces:
            if self._stops.found:
                return
            if isinstance(piece, ContentText):
                if text := self._stops.feed(piece.text):
                    self._say("content", text, deltas)
            else:
                self._other(piece, deltas)
        if pieces:
            self._undecided = 0

    def _other(self, piece: Piece, deltas: list[Delta]) -> None:
        if held := self._stops.end():
            self._say("content", held, deltas)
        self._waiting.clear()
        if isinstance(piece, ReasoningText):
            self.reasoning_tokens += self._undecided
            self._undecided = 0
            self._say("reasoning_content", piece.text, deltas)
        elif isinstance(piece, CallStarted):
            function = {"name": piece.name, "arguments": ""}
            self._add(
                {"tool_calls": [{"index": piece.index, "id": piece.id, "type": "function", "function": function}]},
                deltas,
            )
        elif isinstance(piece, CallArguments):
            call = {"index": piece.index, "function": {"arguments": piece.text}}
            self._add({"tool_calls": [call]}, deltas)

    def _say(self, field: str, text: str, deltas: list[Delta]) -> None:
        """Text of the same kind as the part before it joins that part."""
        if deltas and list(deltas[-1]) == [field]:
            deltas[-1][field] += text
        else:
            self._add({field: text}, deltas)
        if field == "content":
            deltas[-1].logprobs += self._waiting
            self._waiting = []

    def _add(self, value: dict[str, Any], deltas: list[Delta]) -> None:
        delta = Delta(value)
        delta.logprobs = []
        deltas.append(delta)


def logprob_entry(token: int, found: TokenLogprob, tokenizer: Tokenizer) -> dict[str, Any]:
    """One token as OpenAI's `logprobs.content` has it."""
    top = [_entry(each, value, tokenizer) for each, value in found.top]
    return {**_entry(token, found.logprob, tokenizer), "top_logprobs": top}


def _entry(token: int, logprob: float, tokenizer: Tokenizer) -> dict[str, Any]:
    raw = token_bytes(token, tokenizer)
    return {"token": raw.decode("utf-8", "replace"), "logprob": max(logprob, LEAST_LOGPROB), "bytes": list(raw)}


def token_bytes(token: int, tokenizer: Tokenizer) -> bytes:
    """Empty for ids that the model has beyond its tokenizer."""
    return tokenizer.token_bytes(token) if 0 <= token < tokenizer.vocab_size else b""


def fold(deltas: Sequence[Delta]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The whole message of an answer that is not streamed, and the logprobs of its content."""
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: list[dict[str, Any]] = []
    logprobs: list[dict[str, Any]] = []
    for delta in deltas:
        for field, parts in texts.items():
            parts.append(delta.get(field, ""))
        for part in delta.get("tool_calls", ()):
            if "id" in part:
                calls.append({"id": part["id"], "type": "function", "function": {**part["function"]}})
            else:
                calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
        logprobs += delta.logprobs
    content, reasoning = ("".join(parts) for parts in texts.values())
    message: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else "")}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = calls
    return message, logprobs


def usage(prompt_tokens: int, completion_tokens: int, reasoning_tokens: int, last: StepOutput | None) -> dict[str, Any]:
    """Counts of what the model read and wrote: these tokens are the context, not an estimate of it."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": last.cached_tokens if last else 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }
