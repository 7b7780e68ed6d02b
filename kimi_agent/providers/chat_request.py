"""Requests of the chat completions API, as bytes.

Every message is encoded once: its bytes are kept for as long as each request goes on where the last one ended. A request is
a join of kept pieces, so step 300 costs what step 3 does, and each request starts with the very bytes of the one before.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from operator import is_
from typing import Any, NamedTuple

import msgspec

from kimi_agent.core.message import Image, Message, Text, Think, ToolCall, ToolResult, parse_arguments
from kimi_agent.core.provider import Endpoint, Model, Request, ToolSpec
from kimi_agent.providers.canonical_ids import CanonicalIds
from kimi_agent.providers.dialect import Dialect, dialect_of
from kimi_agent.providers.drafts import Drafts

MAX_ID = 64  # characters of a call id that every API takes
MAX_BROKEN = 4000  # characters of a call's broken arguments that the model is shown again
REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")
CANNOT_SEE = "[A picture was here ({name}); this model cannot see pictures.]"
SEE_BELOW = "[The picture follows in the next user message.]"
PICTURES = "The picture(s) of the tool results above:"


class Piece(NamedTuple):
    """A message on the wire (empty: nothing to send), and the picture parts that have to go into a later user message."""

    body: bytes
    later: tuple[bytes, ...] = ()


class RequestEncoder:
    """`encode(request)` is the body of a streaming request. Not safe for use by two threads."""

    def __init__(self, endpoint: Endpoint, model: Model) -> None:
        self._endpoint, self._model = endpoint, model
        self._dialect = dialect_of(endpoint, model)
        self._ids, self._drafts = CanonicalIds(), Drafts()
        self._seen: list[Message] = []  # the messages of the last request
        self._bodies: list[bytes] = []  # what they are on the wire, a comma before each
        self._pictures: list[bytes] = []  # picture parts that still have to go into a user message
        self.call_ids: set[str] = set()  # ids of all calls in the last request
        self._tools: tuple[Sequence[ToolSpec], bytes] = ((), b"")

    def encode(self, request: Request) -> bytes:
        pieces = [dump(self._head(request))[:-1]]
        if request.tools:
            pieces += (b',"tools":', self._encode_tools(request.tools))
        pieces.append(b',"messages":[')
        system = dump({"role": "system", "content": request.system}) if request.system.strip() else b""
        bodies = self._encode_messages(request.messages)
        pieces += (system, *bodies) if system else (bodies[0][1:], *bodies[1:]) if bodies else ()
        # What may differ from step to step comes last: everything before is a prefix of the next request.
        last: dict[str, Any] = self._limit(request)
        if self._drafts.texts:
            last["drafts"] = self._drafts.texts
        pieces.append(b"]," + dump(last)[1:] if last else b"]}")
        return b"".join(pieces)

    def _head(self, request: Request) -> dict[str, Any]:
        dialect, sampling = self._dialect, dict(self._endpoint.sampling)
        head: dict[str, Any] = {"model": self._model.id, "stream": True, "stream_options": {"include_usage": True}}
        if request.session_id and (dialect.kimi or dialect.openai):
            head["prompt_cache_key"] = request.session_id
        if dialect.kimi:
            if thinking := _kimi_thinking(request.thinking, sampling.pop("thinking", None)):
                head["thinking"] = thinking
        elif request.thinking and request.thinking != "on":
            head["reasoning_effort"] = "none" if request.thinking == "off" else request.thinking
        head.update(sampling)
        return head

    def _limit(self, request: Request) -> dict[str, int]:
        if request.max_output is None or {"max_tokens", "max_completion_tokens"} & self._endpoint.sampling.keys():
            return {}
        modern = self._dialect.kimi or self._dialect.openai
        return {"max_completion_tokens" if modern else "max_tokens": request.max_output}

    def _encode_tools(self, tools: Sequence[ToolSpec]) -> bytes:
        known, body = self._tools
        if len(known) != len(tools) or any(a is not b for a, b in zip(known, tools, strict=True)):
            body = dump([_tool(spec) for spec in tools])
            self._tools = (tuple(tools), body)
        return body

    def _encode_messages(self, messages: Sequence[Message]) -> list[bytes]:
        """Only messages that the last request did not have are encoded, unless it was not the beginning of this one."""
        seen = len(self._seen)
        if seen > len(messages) or not all(map(is_, self._seen, messages)):
            seen = 0
            self._seen, self._bodies, self._pictures, self.call_ids = [], [], [], set()
            self._ids, self._drafts = CanonicalIds(), Drafts()
        for message in messages[seen:]:
            self._seen.append(message)
            if self._dialect.drafts:
                self._drafts.see(message)
            self.call_ids.update(call.id for call in message.calls)
            if self._pictures and message.role != "tool":
                self._bodies.append(b"," + _pictures(self._pictures))
                self._pictures = []
            piece = encode_message(self._ids.rename(message) if self._dialect.number_ids else message, self._dialect)
            if piece.body:
                self._bodies.append(b"," + piece.body)
            self._pictures += piece.later
        return [*self._bodies, b"," + _pictures(self._pictures)] if self._pictures else self._bodies


def encode_message(message: Message, dialect: Dialect) -> Piece:
    if message.role == "assistant":
        return Piece(_assistant(message, dialect))
    if result := message.result:
        return _result(result, dialect)
    content = _content(message.parts, dialect)
    return Piece(dump({"role": "user", "content": content}) if content else b"")


def _assistant(message: Message, dialect: Dialect) -> bytes:
    """Empty when there is neither text nor a call (reasoning cut off by an interrupt): APIs refuse such messages."""
    text, calls = message.text, message.calls
    if not text.strip() and not calls:
        return b""
    thinks = [part for part in message.parts if isinstance(part, Think)]
    value: dict[str, Any] = {"role": "assistant"}
    if text.strip():
        value["content"] = text
    value.update(_reasoning(thinks, dialect, bool(calls)))
    if calls:
        extras = {d["call"]: d for part in thinks if part.field == "extra_content" for d in part.details if "call" in d}
        value["tool_calls"] = [_call(call, extras.get(call.id), dialect) for call in calls]
    return dump(value)


def _reasoning(thinks: Sequence[Think], dialect: Dialect, has_calls: bool) -> dict[str, Any]:
    if dialect.reasoning and dialect.reasoning != "reasoning_details":
        text = "".join(part.text for part in thinks)
        if dialect.kimi and not text.strip():
            # Every message of the model carries the field; on a message with calls, K2.5 and K2.6 take "" for missing.
            text = " " if has_calls else ""
        return {dialect.reasoning: text} if text or dialect.kimi else {}
    found: dict[str, Any] = {}
    for part in thinks:
        if part.field == "reasoning_details" and (dialect.any_reasoning or dialect.reasoning == part.field):
            found.setdefault(part.field, []).extend(part.details)
        elif part.field in REASONING_FIELDS and dialect.any_reasoning and part.text:
            found[part.field] = found.get(part.field, "") + part.text
    if "reasoning_details" in found:
        found["reasoning_details"] = merge_details(found["reasoning_details"])
    return found


def merge_details(details: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Streamed pieces of one reasoning block (same type and index) as the one block that the API wants back."""
    merged: list[dict[str, Any]] = []
    for detail in details:
        last = merged[-1] if merged else None
        if last is None or any(last.get(key) != detail.get(key) for key in ("type", "index")):
            merged.append(dict(detail))
            continue
        for key, value in detail.items():
            if key in ("text", "summary", "data") and isinstance(value, str):
                last[key] = (last.get(key) or "") + value
            elif value is not None:
                last[key] = value
    return merged


def _call(call: ToolCall, extra: dict[str, Any] | None, dialect: Dialect) -> dict[str, Any]:
    function = {"name": wire_name(call.name, builtin=dialect.kimi), "arguments": wire_arguments(call.arguments)}
    kind = "builtin_function" if dialect.kimi and call.name.startswith("$") else "function"
    value: dict[str, Any] = {"id": wire_id(call.id, keep=dialect.keep_ids), "type": kind, "function": function}
    if extra is not None and dialect.extras:
        value["extra_content"] = extra.get("extra_content")
    return value


def _result(result: ToolResult, dialect: Dialect) -> Piece:
    content = _content(result.content, dialect) or "(no output)"
    later: tuple[bytes, ...] = ()
    if isinstance(content, list) and not dialect.kimi:  # only Kimi takes pictures in tool messages
        later = tuple(dump(part) for part in content if part["type"] == "image_url")
        texts = [part["text"] for part in content if part["type"] == "text"]
        content = "\n".join([*texts, SEE_BELOW])
    value = {"role": "tool", "tool_call_id": wire_id(result.call_id, keep=dialect.keep_ids), "content": content}
    return Piece(dump(value), later)


def _content(parts: Iterable[Any], dialect: Dialect) -> str | list[dict[str, Any]]:
    """A string where there are no pictures, else a list of parts; empty when there is nothing to say."""
    items: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, Text) and part.text.strip():
            items.append({"type": "text", "text": part.text})
        elif isinstance(part, Image) and dialect.images:
            items.append({"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}})
        elif isinstance(part, Image):
            items.append({"type": "text", "text": CANNOT_SEE.format(name=part.name or part.media_type)})
    if all(item["type"] == "text" for item in items):
        return "".join(item["text"] for item in items)
    return items


def _pictures(parts: Sequence[bytes]) -> bytes:
    head = dump({"type": "text", "text": PICTURES})
    return b'{"role":"user","content":[' + b",".join([head, *parts]) + b"]}"


def _tool(spec: ToolSpec) -> dict[str, Any]:
    if spec.name.startswith("$"):
        return {"type": "builtin_function", "function": {"name": spec.name}}
    function = {"name": spec.name, "description": spec.description, "parameters": spec.schema}
    return {"type": "function", "function": function}


def _kimi_thinking(thinking: str | None, configured: Any) -> dict[str, Any]:
    """Kimi's `thinking` object; an effort means enabled. What the user configured (`keep`) is kept, and means enabled too."""
    value = dict(configured) if isinstance(configured, dict) else {}
    if thinking is not None:
        if thinking == "off":
            return {"type": "disabled"}
        value["type"] = "enabled"
        if thinking != "on":
            value["effort"] = thinking
    return {"type": "enabled", **value} if value else {}


def wire_id(call_id: str, *, keep: bool) -> str:
    """A call id that the API takes. Two ids that differ stay different: a changed one ends with a checksum of the old."""
    if (keep and call_id) or re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{MAX_ID}}}", call_id):
        return call_id
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", call_id)[: MAX_ID - 9]
    return f"{plain}_{zlib.crc32(call_id.encode('utf-8', 'surrogatepass')):08x}"


def wire_name(name: str, *, builtin: bool = False) -> str:
    """The name of a function in a form that APIs take: a model may have made up one that would be refused for ever."""
    if re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}", name) or (builtin and name.startswith("$")):
        return name
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:60]
    return plain if plain and not (plain[0].isdigit() or plain[0] == "-") else f"fn_{plain or 'unknown'}"


def wire_arguments(text: str) -> str:
    """Arguments as valid JSON of an object. Good text is kept byte for byte; broken text is shown to the model as a value."""
    try:
        if isinstance(msgspec.json.decode(text), dict):
            return text
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        pass
    try:
        return dump(parse_arguments(text)).decode()
    except (ValueError, RecursionError):
        return dump({"invalid_json": text[:MAX_BROKEN]}).decode()


def dump(value: Any) -> bytes:
    """Compact UTF-8 JSON."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(encodable(value))


def encodable(value: Any) -> Any:
    """The value with lone surrogates (from file names that are not UTF-8) as U+FFFD: no API takes them."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {encodable(key): encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encodable(item) for item in value]
    return value
