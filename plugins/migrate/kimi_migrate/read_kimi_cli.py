"""Sessions of kimi-cli: `context.jsonl` is the history as the model saw it, `state.json` has the title."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kimi_agent.core.message import Part, Text, Think
from kimi_migrate.calls import our_call
from kimi_migrate.conversation import Conversation, Imported
from kimi_migrate.records import items, joined, parts, read_json, read_lines, table, text

_CHECKPOINT = re.compile(r"\s*<system>\s*CHECKPOINT \d+\s*</system>\s*\Z")
_REMARK = re.compile(r"\s*<(system|system-reminder|notification)\b")


def read(context: Path, cwd: str) -> Imported:
    """The session of a `context.jsonl`, or of the `UUID.jsonl` of old versions. Raises SessionError."""
    folder = context.parent if context.name == "context.jsonl" else None
    conversation = Conversation()
    for record in read_lines(context):
        match record.get("role"):
            case "user":
                _user(conversation, record.get("content"))
            case "assistant":
                conversation.flush()
                conversation.reply([*_said(record.get("content")), *_calls(record)])
            case "tool":
                content = parts(record.get("content"))
                failed = joined(record.get("content")).lstrip().startswith("<system>ERROR")
                conversation.result(text(record.get("tool_call_id")), content, is_error=failed)
    conversation.flush()
    changed = context.stat().st_mtime
    name = folder.name if folder else context.stem
    title = text(read_json(folder / "state.json").get("custom_title")) if folder else ""
    return Imported(f"kimi-cli-{name}", cwd, conversation, title, (changed, changed))


def _user(conversation: Conversation, content: Any) -> None:
    said = joined(content)
    if _CHECKPOINT.match(said):
        return
    if _REMARK.match(said):
        conversation.remark(said)
    else:
        conversation.prompt(parts(content))


def _said(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
    for item in items(content):
        if item.get("type") == "think":
            yield Think(text(item.get("think")), "reasoning_content")
        elif item.get("type") == "text":
            yield Text(text(item.get("text")))


def _calls(record: dict[str, Any]) -> Iterator[Part]:
    for call in items(record.get("tool_calls")):
        function = table(call.get("function"))
        yield our_call(text(call.get("id")), text(function.get("name")), text(function.get("arguments")))
