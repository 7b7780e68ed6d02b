"""Sessions of Codex: `sessions/YYYY/MM/DD/rollout-TIME-UUID.jsonl`, with and without envelopes around the records."""

import re
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Text, Think
from kimi_migrate.calls import our_call
from kimi_migrate.conversation import Conversation, Imported
from kimi_migrate.records import items, joined, parts, read_lines, seconds, table, text

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_OWN = re.compile(
    r"\s*(<(environment_context|user_instructions|permissions|INSTRUCTIONS|turn_aborted|skill|collaboration_mode|user_shell)"
    r"|# AGENTS\.md instructions)"
)
_FOLDER = re.compile(r"<cwd>(.*?)</cwd>")


class _Reader:
    def __init__(self) -> None:
        self.conversation = Conversation()
        self.id = self.cwd = ""
        self.subagent = False
        self.times: list[float] = []

    def take(self, record: dict[str, Any]) -> None:
        when = seconds(record.get("timestamp"))
        self.times += filter(None, [when])
        payload = table(record.get("payload"))
        match record.get("type"):
            case "session_meta":
                self._meta(payload)
            case "response_item":
                self._item(payload, when)
            case "compacted":
                self._compacted(payload)
            case "event_msg" if payload.get("type") == "thread_rolled_back":
                turns = payload.get("num_turns")
                self.conversation.flush()
                self.conversation.keep(len(self.conversation.turns) - (turns if isinstance(turns, int) else 1))
            case None if "instructions" in record or "git" in record:  # the first line of old versions
                self._meta(record)
            case _ if "payload" not in record:
                self._item(record, when)

    def _meta(self, payload: dict[str, Any]) -> None:
        if not self.id:  # a second one is that of the session it was forked from
            self.id, self.cwd = text(payload.get("id")), text(payload.get("cwd"))
            self.subagent = "subagent" in table(payload.get("source"))

    def _compacted(self, payload: dict[str, Any]) -> None:
        kept = [joined(item.get("content")) for item in items(payload.get("replacement_history"))]
        summary = text(payload.get("message")) or "\n\n".join(said for said in kept if said and not _OWN.match(said))
        self.conversation.summary(summary or "[Codex kept no readable summary of what was said before.]")

    def _item(self, item: dict[str, Any], when: float) -> None:
        call_id = text(item.get("call_id")) or text(item.get("id"))
        match item.get("type"):
            case "message" if item.get("role") == "assistant":
                self.conversation.reply([Text(joined(item.get("content")))])
            case "message" if item.get("role") == "user":
                self._user(item.get("content"), when)
            case "reasoning":
                summary = "\n\n".join(text(part.get("text")) for part in items(item.get("summary")))
                self.conversation.reply([Think(summary)])
            case "function_call":
                self.conversation.reply([our_call(call_id, text(item.get("name")), item.get("arguments"))])
            case "custom_tool_call":
                self.conversation.reply([our_call(call_id, text(item.get("name")), {"input": item.get("input")})])
            case "local_shell_call":
                self.conversation.reply([our_call(call_id, "local_shell", table(item.get("action")))])
            case "function_call_output" | "custom_tool_call_output":
                output = item.get("output")
                self.conversation.result(call_id, parts(output if isinstance(output, str | list) else str(output)))

    def _user(self, content: Any, when: float) -> None:
        said = joined(content)
        if not _OWN.match(said):
            self.conversation.prompt(parts(content), when)
        elif not self.cwd and (match := _FOLDER.search(said)):
            self.cwd = match[1]


def read(path: Path) -> Imported | None:
    """The session of a file, None for that of a subagent. Raises SessionError."""
    reader = _Reader()
    for record in read_lines(path):
        reader.take(record)
    reader.conversation.flush()
    if reader.subagent:
        return None
    if reader.conversation.turns and not reader.cwd:
        raise SessionError("no record of it names its folder")
    changed = path.stat().st_mtime
    match = _ID.search(path.name)
    times = (min(reader.times, default=changed), max(reader.times, default=changed))
    return Imported(f"codex-{match[0] if match else path.stem}", reader.cwd, reader.conversation, times=times)
