"""Sessions of kimi-code: the event stream `agents/main/wire.jsonl`, with the title and the folder in `state.json`.

The folders are documented, the records are not; these are those of protocol 1. Records of other kinds are passed over.
"""

from pathlib import Path
from typing import Any

from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Part, Text, Think
from kimi_migrate.calls import our_call
from kimi_migrate.conversation import Conversation, Imported
from kimi_migrate.records import items, parts, read_json, read_lines, seconds, table, text


def read(folder: Path, cwd: str) -> Imported:
    """The session in a folder; `cwd` is what the index says of it. Raises SessionError."""
    state = read_json(folder / "state.json")
    cwd = text(state.get("cwd")) or text(state.get("workDir")) or cwd
    if not cwd:
        raise SessionError("neither its state.json nor session_index.jsonl names its folder")
    wire = folder / "agents" / "main" / "wire.jsonl"
    conversation = Conversation()
    for record in read_lines(wire):
        _take(conversation, record)
    conversation.flush()
    changed = wire.stat().st_mtime
    times = (seconds(state.get("createdAt")) or changed, seconds(state.get("updatedAt")) or changed)
    name = folder.name.removeprefix("session_")
    return Imported(f"kimi-code-{name}", cwd, conversation, text(state.get("title")), times)


def _take(conversation: Conversation, record: dict[str, Any]) -> None:
    match record.get("type"):
        case "metadata":
            if not text(record.get("protocol_version")).startswith("1."):
                raise SessionError(f"its format {record.get('protocol_version')!r} is not known")
        case "context.append_message":
            _message(conversation, table(record.get("message")), seconds(record.get("time")))
        case "context.append_loop_event":
            _event(conversation, table(record.get("event")))
        case "context.apply_compaction":
            conversation.summary(text(record.get("summary")))
        case "context.clear":
            conversation.keep(0)


def _message(conversation: Conversation, message: dict[str, Any], when: float) -> None:
    content = message.get("content")
    match message.get("role"):
        case "user" if table(message.get("origin")).get("kind", "user") == "user":
            conversation.prompt(parts(content), when)
        case "user":
            conversation.remark("\n".join(part.text for part in parts(content) if isinstance(part, Text)))
        case "assistant":
            conversation.flush()
            calls = [
                our_call(
                    text(call.get("id")), text(function.get("name")), function.get("arguments", function.get("args"))
                )
                for call in items(message.get("toolCalls"))
                for function in [table(call.get("function")) or call]
            ]
            conversation.reply([*(part for item in items(content) for part in _part(item)), *calls])
        case "tool":
            conversation.result(text(message.get("toolCallId")), parts(content))


def _event(conversation: Conversation, event: dict[str, Any]) -> None:
    reply_id = text(event.get("stepUuid"))
    match event.get("type"):
        case "content.part":
            conversation.reply(_part(table(event.get("part"))), reply_id)
        case "tool.call":
            call = our_call(text(event.get("toolCallId")), text(event.get("name")), event.get("args"))
            conversation.reply([call], reply_id)
        case "tool.result":
            result = event.get("result")
            output = table(result).get("output", result)
            content = parts(output) if isinstance(output, str | list) else [Text(str(output))]
            conversation.result(text(event.get("toolCallId")), content, is_error=table(result).get("isError") is True)


def _part(item: dict[str, Any]) -> list[Part]:
    if item.get("type") == "think":
        return [Think(text(item.get("think")) or text(item.get("text")), "reasoning_content")]
    return [Text(text(item.get("text")))] if item.get("type") == "text" else []
