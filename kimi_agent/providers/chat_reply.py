"""Replies of the chat completions API: chunks in, deltas out, tolerant of what servers are known to do."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from kimi_agent.core.errors import ConnectionFailed
from kimi_agent.core.message import parse_arguments
from kimi_agent.core.provider import CallChunk, Delta, Endpoint, Finished, Prefill, TextChunk, ThinkChunk, Tokens
from kimi_agent.providers.failures import failure_of, to_error
from kimi_agent.providers.think_tags import ThinkTags

# A filter, or hidden reasoning that used up the limit: asking again would not help.
MAY_BE_EMPTY = ("content_filter", "length")


@dataclass(slots=True, eq=False)
class OpenCall:
    """A call being streamed. It is shown once it has an `id`; `waiting` holds arguments that came before."""

    index: int
    raw_id: str
    id: str = ""
    name: str = ""
    arguments: str = ""
    waiting: str = ""
    extra: Any = None


class CallIds:
    """Ids that are unique in a conversation: servers leave them out, repeat them, or begin anew with every reply."""

    def __init__(self, used: Iterable[str], kimi: bool) -> None:
        self._used = set(used)
        self._next = len(self._used)
        self._kimi = kimi

    def assign(self, raw: str, name: str) -> str:
        made = raw
        while not made or made in self._used:
            style = re.fullmatch(r"(.+):\d+", raw) if raw else None
            stem = style[1] if style else f"functions.{name}"
            made = f"{stem}:{self._next}" if self._kimi else f"{raw[:50] or 'call'}_{self._next}"
            self._next += 1
        self._used.add(made)
        return made


class Reply:
    """Feed it chunks (or the one object of a server that does not stream); `finish` closes it."""

    def __init__(self, endpoint: Endpoint, ids: CallIds) -> None:
        self._endpoint, self._ids = endpoint, ids
        self._calls: list[OpenCall] = []
        self._by_index: dict[int, OpenCall] = {}
        self._tokens: Tokens | None = None
        self._said_something = False
        self._think_tags = ThinkTags()
        self.reason = ""

    def feed(self, chunk: Any) -> Iterator[Delta]:
        """Raises ProviderError for an error that the server sends inside the stream."""
        if not isinstance(chunk, dict):
            return
        if "kimi" in chunk:
            yield from _prefill(chunk["kimi"])
            return
        if chunk.get("error") or chunk.get("object") == "error" or _only_words(chunk):
            raise to_error(failure_of(chunk), self._endpoint)
        self._count(chunk.get("usage"))
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            if choice.get("error"):
                raise to_error(failure_of(choice), self._endpoint)
            self._count(choice.get("usage"))
            body = choice.get("delta") or choice.get("message")
            if isinstance(body, dict):
                for delta in self._deltas(body):
                    self._said_something = True
                    yield delta
            self.reason = _text(choice.get("finish_reason")) or self.reason

    def finish(self, done: bool) -> Iterator[Delta]:
        """`done`: the server said that this is the end. Raises ConnectionFailed when nothing says that the reply is whole."""
        name = self._endpoint.name or self._endpoint.kind
        if not (done or self.reason):
            raise ConnectionFailed(f"The reply of {name} broke off before its end.")
        if self.reason == "error":
            raise to_error(failure_of({"message": "the reply ended with an error"}), self._endpoint)
        for delta in self._think_tags.flush():
            self._said_something = True
            yield delta
        for call in self._calls:
            if not call.id and not self._is_copy(call):
                yield from self._open(call, call.name)
        if not self._said_something and not self._calls and self.reason not in MAY_BE_EMPTY:
            raise ConnectionFailed(f"{name} sent an empty reply.")
        if extras := tuple({"call": c.id, "extra_content": c.extra} for c in self._calls if c.extra is not None):
            yield ThinkChunk("", "extra_content", extras)
        if self._tokens:
            yield self._tokens
        yield Finished(self.reason or ("tool_calls" if self._calls else "stop"))

    def _deltas(self, body: dict[str, Any]) -> Iterator[Delta]:
        yield from _thoughts(body)
        content = body.get("content")
        for part in content if isinstance(content, list) else [{"type": "text", "text": content}]:
            for delta in _content_part(part) if isinstance(part, dict) else ():
                yield from self._think_tags.feed(delta.text) if isinstance(delta, TextChunk) else (delta,)
        if refusal := _text(body.get("refusal")):
            yield TextChunk(refusal)
        calls, met = body.get("tool_calls"), list[OpenCall]()
        for piece in calls if isinstance(calls, list) else ():
            if isinstance(piece, dict):
                yield from self._call_piece(piece, met)

    # --- calls --------------------------------------------------------------------------------------------------------

    def _call_piece(self, piece: dict[str, Any], met: list[OpenCall]) -> Iterator[Delta]:
        """`met` collects the calls that the pieces of one chunk belong to."""
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        name, raw_id, arguments = _text(function.get("name")), _text(piece.get("id")), function.get("arguments")
        if isinstance(arguments, dict | list):
            arguments = json.dumps(arguments, ensure_ascii=False)
        arguments = _text(arguments)
        call = self._route(piece.get("index"), raw_id, name, arguments, met)
        met.append(call)
        if piece.get("extra_content") is not None:
            call.extra = piece["extra_content"]
        if not call.id:
            call.waiting += arguments
            call.raw_id, call.name = call.raw_id or raw_id, call.name or name
            if name and not self._namesakes(call):
                yield from self._open(call, name)
        elif arguments:
            call.arguments += arguments
            yield CallChunk(call.index, arguments=arguments)

    def _route(self, index: Any, raw_id: str, name: str, arguments: str, met: list[OpenCall]) -> OpenCall:
        """The call that a piece belongs to, a new one when it belongs to none."""
        if isinstance(index, int):
            call = self._by_index.get(index)
            if call is None or _begins_another(call, raw_id, name, arguments):
                call = self._by_index[index] = self._new(raw_id)
            return call
        last = self._calls[-1] if self._calls else None
        if raw_id:
            return next((c for c in self._calls if c.raw_id == raw_id), None) or self._new(raw_id)
        if last is None or (name and last.name and (name != last.name or last in met or _complete(last.arguments))):
            return self._new("")
        return last

    def _new(self, raw_id: str) -> OpenCall:
        call = OpenCall(len(self._calls), raw_id)
        self._calls.append(call)
        return call

    def _namesakes(self, call: OpenCall) -> list[OpenCall]:
        """Other calls of this reply with its id: it may be one of them, sent twice, which its end will show."""
        return [other for other in self._calls if call.raw_id and other is not call and other.raw_id == call.raw_id]

    def _is_copy(self, call: OpenCall) -> bool:
        whole = (call.name, call.waiting)
        return any(other.id and (other.name, other.arguments) == whole for other in self._namesakes(call))

    def _open(self, call: OpenCall, name: str) -> Iterator[Delta]:
        call.name, call.id = name, self._ids.assign(call.raw_id, name)
        call.arguments, call.waiting = call.waiting, ""
        yield CallChunk(call.index, call.id, call.name, call.arguments)

    # --- tokens -------------------------------------------------------------------------------------------------------

    def _count(self, usage: Any) -> None:
        if isinstance(usage, dict) and (tokens := read_tokens(usage)):
            self._tokens = tokens


def read_tokens(usage: dict[str, Any]) -> Tokens | None:
    """Chat completions' `usage` in the dialects of Moonshot, OpenAI and DeepSeek."""
    details = usage.get("prompt_tokens_details")
    cached = usage.get("cached_tokens") or usage.get("prompt_cache_hit_tokens")
    if not cached and isinstance(details, dict):
        cached = details.get("cached_tokens")
    spent = usage.get("completion_tokens_details")
    thought = spent.get("reasoning_tokens") if isinstance(spent, dict) else 0
    values = [
        value if isinstance(value, int) and value > 0 else 0
        for value in (usage.get("prompt_tokens"), usage.get("completion_tokens"), cached, thought)
    ]
    read, written = values[:2]
    return Tokens(read, written, min(values[2], read), min(values[3], written)) if read or written else None


def _thoughts(body: dict[str, Any]) -> Iterator[ThinkChunk]:
    """One piece of reasoning stands in one field; servers that send it in two at once mean the same text."""
    details = body.get("reasoning_details")
    if isinstance(details, list) and (blocks := tuple(d for d in details if isinstance(d, dict))):
        text = _text(body.get("reasoning")) or "".join(_text(d.get("text")) or _text(d.get("summary")) for d in blocks)
        yield ThinkChunk(text, "reasoning_details", blocks)
        return
    for field in ("reasoning_content", "reasoning"):
        if text := _text(body.get(field)):
            yield ThinkChunk(text, field)
            return


def _content_part(part: dict[str, Any]) -> Iterator[Delta]:
    if text := _text(part.get("text")):
        yield TextChunk(text)
    thinking = part.get("thinking")  # Mistral's reasoning models: a list of text parts
    for item in thinking if isinstance(thinking, list) else [{"text": thinking}]:
        if isinstance(item, dict) and (text := _text(item.get("text"))):
            yield ThinkChunk(text)


def _begins_another(call: OpenCall, raw_id: str, name: str, arguments: str) -> bool:
    """Whether a named piece is not `call`'s although it has its index: one index for all calls is seen in the wild."""
    if not name:
        return False
    if raw_id and call.raw_id:
        return raw_id != call.raw_id
    return not raw_id and arguments.lstrip().startswith("{") and _complete(call.arguments)


def _prefill(told: Any) -> Iterator[Delta]:
    """`{"prefill": {"done": 512, "total": 2048}}`, as our engine says it; nothing for anything else."""
    part = told.get("prefill") if isinstance(told, dict) else None
    done, total = (part.get("done"), part.get("total")) if isinstance(part, dict) else (None, None)
    if isinstance(done, int) and isinstance(total, int) and 0 <= done <= total:
        yield Prefill(done, total)


def _only_words(chunk: dict[str, Any]) -> bool:
    """`{"detail": "..."}` where a reply should be: how some gateways tell a failure with status 200."""
    return "choices" not in chunk and any(isinstance(chunk.get(key), str) for key in ("message", "detail", "msg"))


def _complete(arguments: str) -> bool:
    try:
        parse_arguments(arguments)
    except ValueError:
        return False
    return bool(arguments.strip())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
