"""OpenAI-style messages and tools, checked: what is wrong is named by its place, `messages[3].tool_calls[0]`."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inference_backend.errors import RequestError

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
MAX_DEPTH = 200
"""Levels of JSON in tools and arguments."""
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Call:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant", "tool"]
    name: str
    """What the header says: the message's own `name`, else its role."""
    text: str
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    call_id: str = ""


def read_messages(raw: object) -> list[Message]:
    """The conversation in `raw`, which holds at least one message. Raises RequestError."""
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        raise RequestError("messages must be a list with at least one message")
    return [_message(one, f"messages[{index}]") for index, one in enumerate(raw)]


def read_tools(raw: object) -> list[dict[str, Any]]:
    """The tools in `raw` (None: none), each `{"type": "function", "function": {"name": ...}}`, no two names alike.

    Raises RequestError.
    """
    if raw is None:
        return []
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise RequestError("tools must be a list")
    seen: set[str] = set()
    for index, tool in enumerate(raw):
        where = f"tools[{index}]"
        function = _object(tool, where).get("function")
        if tool.get("type", "function") != "function" or not isinstance(function, dict):
            raise RequestError(f"{where} must be of type function and have a function")
        name = function.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RequestError(f"{where}: name {str(name)[:40]!r} must be 1 to 128 letters, digits, '_', '-' or '.'")
        if name in seen:
            raise RequestError(f"{where}: a second tool is called {name}")
        if not isinstance(function.get("parameters") or {}, dict):
            raise RequestError(f"{where}: parameters must be a JSON schema (an object)")
        check_depth(tool, where)
        seen.add(name)
    return list(raw)


def check_depth(value: object, where: str) -> None:
    """Raises RequestError for JSON nested deeper than MAX_DEPTH."""
    level, layer = 0, [value]
    while layer:
        if level > MAX_DEPTH:
            raise RequestError(f"{where} is nested deeper than {MAX_DEPTH} levels")
        inner = [one.values() if isinstance(one, dict) else one for one in layer if isinstance(one, dict | list)]
        layer = [one for group in inner for one in group]
        level += 1


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"{where} must be an object")
    return value


def _message(raw: object, where: str) -> Message:
    fields = _object(raw, where)
    role = fields.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"{where}: role {str(role)[:40]!r} is none of {', '.join(ROLES)}")
    kind: Any = ROLES[role]
    calls = tuple(_calls(fields.get("tool_calls"), where)) if kind == "assistant" else ()
    text = _text(fields.get("content"), f"{where}.content")
    if fields.get("content") is None and kind in ("system", "user"):
        raise RequestError(f"{where} has no content")
    call_id = fields.get("tool_call_id")
    if kind == "tool" and not isinstance(call_id, str):
        raise RequestError(f"{where} has no tool_call_id")
    return Message(
        role=kind,
        name=_string(fields, "name", where) or kind,
        text=text,
        reasoning=_string(fields, "reasoning_content", where) or _string(fields, "reasoning", where),
        calls=calls,
        call_id=str(call_id or ""),
    )


def _string(fields: dict[str, Any], key: str, where: str) -> str:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise RequestError(f"{where}.{key} must be a text")
    return value or ""


def _text(content: object, where: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, Sequence):
        raise RequestError(f"{where} must be a text or a list of parts")
    texts = []
    for index, part in enumerate(content):
        kind = _object(part, f"{where}[{index}]").get("type", "text")
        field = "refusal" if kind == "refusal" else "text"
        if kind != field or not isinstance(part.get(field), str):
            raise RequestError(
                f"{where}[{index}] is of type {str(kind)[:40]!r}: the engine reads text only",
                "Images and files need a server with the vision part of the model.",
            )
        texts.append(part[field])
    return "".join(texts)


def _calls(raw: object, where: str) -> list[Call]:
    if raw is None:
        return []
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise RequestError(f"{where}.tool_calls must be a list")
    calls = []
    for index, one in enumerate(raw):
        place = f"{where}.tool_calls[{index}]"
        function = _object(_object(one, place).get("function"), f"{place}.function")
        name, arguments, call_id = function.get("name"), function.get("arguments"), one.get("id")
        if not isinstance(name, str) or not name:
            raise RequestError(f"{place} names no function")
        if isinstance(arguments, dict):
            check_depth(arguments, place)
            arguments = json.dumps(arguments, ensure_ascii=False)
        if not isinstance(arguments, str) or not isinstance(call_id, str | None):
            raise RequestError(f"{place}: id and arguments must be texts")
        calls.append(Call(call_id or place, name, arguments))
    return calls
