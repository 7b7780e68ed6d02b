"""What Moonshot's API refuses with a 400, as far as it is known: the trap list that requests are held against."""

import json
import re
from collections.abc import Mapping
from typing import Any

NAME = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$")
MAX_MESSAGES = 2_097_152  # bytes


def objection(headers: Mapping[str, str], body: dict[str, Any]) -> str | None:
    """Why the request would be refused, None when it would not."""
    if not re.fullmatch(r"Bearer \S+", headers.get("authorization", "")):
        return "Invalid Authentication"
    if any(name.startswith("x-msh-") for name in headers):
        return "a header tells the device apart"
    for refused in ("max_tokens", "reasoning_effort"):
        if refused in body:
            return f"{refused} is not taken here"
    if body.get("stream") and not (body.get("stream_options") or {}).get("include_usage"):
        return "stream_options.include_usage is missing"
    thinking = body.get("thinking")
    if thinking is not None and thinking.get("type") not in ("enabled", "disabled"):
        return "thinking.type must be enabled or disabled"
    return _messages(body.get("messages")) or _tools(body.get("tools", []))


def _messages(messages: Any) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "messages must not be empty"
    if len(json.dumps(messages, ensure_ascii=False).encode()) > MAX_MESSAGES:
        return f"total message size exceeds limit {MAX_MESSAGES}"
    open_calls: list[str] = []
    seen: set[str] = set()
    for index, message in enumerate(messages):
        role = message.get("role")
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return f"tool_call_id {message.get('tool_call_id')} is not found"
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            return f"an assistant message with 'tool_calls' must be followed by tool messages: {open_calls}"
        if refusal := _assistant(index, message, seen) if role == "assistant" else _content(index, message):
            return refusal
        open_calls += [call["id"] for call in message.get("tool_calls", [])]
    return f"tool calls without results: {open_calls}" if open_calls else None


def _content(index: int, message: dict[str, Any]) -> str | None:
    if message.get("role") not in ("system", "user", "tool"):
        return f"message {index}: role {message.get('role')!r} is unknown"
    content = message.get("content")
    if isinstance(content, str):
        return (
            None if content.strip() else f"message at position {index} with role '{message['role']}' must not be empty"
        )
    if not isinstance(content, list) or not content:
        return f"message {index} has no content"
    for part in content:
        if part["type"] == "text" and not part["text"].strip():
            return "text content is empty"
        if part["type"] == "image_url" and not re.match(r"data:image/[a-z+]+;base64,\S+$", part["image_url"]["url"]):
            return "image_url must be a data URL"
    return None


def _assistant(index: int, message: dict[str, Any], seen: set[str]) -> str | None:
    calls = message.get("tool_calls")
    if ("content" in message or not calls) and not str(message.get("content") or "").strip():
        return "text content is empty"
    if "reasoning_content" not in message:
        return f"reasoning_content is missing in assistant message at index {index}"
    if calls and not message["reasoning_content"]:
        return f"thinking is enabled but reasoning_content is missing in assistant tool call message at index {index}"
    for call in calls or []:
        if call["id"] in seen or not call["id"]:
            return f"tool call id {call['id']!r} is empty or used twice"
        seen.add(call["id"])
        if not NAME.match(call["function"]["name"]) and call["type"] != "builtin_function":
            return f"function name {call['function']['name']!r} is invalid"
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError as error:
            return f"function.arguments is not JSON: {error}"
        if not isinstance(arguments, dict):
            return "function.arguments must be an object"
    return None


def _tools(tools: list[Any]) -> str | None:
    names = [tool["function"]["name"] for tool in tools]
    if len(set(names)) != len(names):
        return "function name is duplicated"
    for tool in tools:
        function = tool["function"]
        if function["name"].startswith("$"):
            if tool["type"] != "builtin_function" or set(function) != {"name"}:
                return f"{function['name']} must be a bare builtin_function"
            continue
        if tool["type"] != "function" or not NAME.match(function["name"]):
            return f"tool {function['name']!r} is invalid"
        if refusal := _schema(function["parameters"], function["name"]):
            return refusal
    return None


def _schema(schema: Any, where: str) -> str | None:
    if not isinstance(schema, dict):
        return f"{where}: the schema is not an object"
    if {"$ref", "$defs", "definitions"} & schema.keys():
        return f"{where}: references are not resolved"
    for key, value in schema.get("properties", {}).items():
        if not {"type", "anyOf", "oneOf", "allOf"} & value.keys():
            return f"{where}.{key}: type is not defined"
        if refusal := _schema(value, f"{where}.{key}"):
            return refusal
    return _schema(schema["items"], f"{where}[]") if isinstance(schema.get("items"), dict) else None
