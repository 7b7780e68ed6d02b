"""Sessions of Claude Code: `projects/FOLDER/UUID.jsonl`, a tree of records of which the last branch is taken."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Part, Text, Think
from kimi_migrate.calls import our_call
from kimi_migrate.conversation import Conversation, Imported
from kimi_migrate.records import items, joined, parts, read_lines, seconds, text

_COMMAND = re.compile(r"<command-name>(.*?)</command-name>", re.DOTALL)
_ARGUMENTS = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)
_LOCAL = ("<local-command-", "[Request interrupted by user")


class _Reader:
    """Takes the records of one file. A prompt whose parent lies in an earlier turn takes back the turns since."""

    def __init__(self) -> None:
        self.conversation = Conversation()
        self.cwd = self.title = ""
        self.times: list[float] = []
        self._turn_of: dict[str, int] = {}  # by the uuid of a record: how many turns there were after it

    def take(self, record: dict[str, Any]) -> None:
        kind = record.get("type")
        self.title = text(record.get("customTitle")) or self.title or text(record.get("aiTitle"))
        if kind == "summary":
            self.title = self.title or text(record.get("summary"))
        if kind not in ("user", "assistant", "system", "attachment") or record.get("isSidechain") is True:
            return
        self.cwd = self.cwd or text(record.get("cwd"))
        self.times += filter(None, [seconds(record.get("timestamp"))])
        message = record.get("message")
        if isinstance(message, dict) and kind == "user":
            self._user(record, message.get("content"))
        elif isinstance(message, dict) and kind == "assistant":
            self._assistant(record, message)
        self._turn_of[text(record.get("uuid"))] = len(self.conversation.turns)

    def _user(self, record: dict[str, Any], content: Any) -> None:
        for item in items(content):
            if item.get("type") == "tool_result":
                failed = item.get("is_error") is True
                self.conversation.result(text(item.get("tool_use_id")), parts(item.get("content")), is_error=failed)
        said = joined(content)
        if record.get("isCompactSummary") is True:
            self.conversation.summary(said)
        elif said.lstrip().startswith(_LOCAL):
            return
        elif record.get("isMeta") is True:
            self.conversation.remark(said)
        elif content_parts := parts(content):
            parent = self._turn_of.get(text(record.get("parentUuid")))
            if parent is not None and parent < len(self.conversation.turns):
                self.conversation.keep(parent)
            command = _command(said)
            self.conversation.prompt([Text(command)] if command else content_parts, seconds(record.get("timestamp")))

    def _assistant(self, record: dict[str, Any], message: dict[str, Any]) -> None:
        if message.get("model") != "<synthetic>" and record.get("isApiErrorMessage") is not True:
            reply_id = text(message.get("id")) or text(record.get("uuid"))
            self.conversation.reply(list(_said(message.get("content"))), reply_id)


def read(path: Path) -> Imported:
    """Raises SessionError."""
    reader = _Reader()
    for record in read_lines(path):
        reader.take(record)
    conversation = reader.conversation
    conversation.flush()
    conversation.turns = [turn for turn in conversation.turns if turn.summary or not _is_bare_command(turn.messages)]
    if conversation.turns and not reader.cwd:
        raise SessionError("no record of it names its folder")
    changed = path.stat().st_mtime
    times = (min(reader.times, default=changed), max(reader.times, default=changed))
    return Imported(f"claude-{path.stem}", reader.cwd, conversation, reader.title, times)


def _command(said: str) -> str:
    """`/name arguments` of a slash command's record, empty for any other text."""
    name, arguments = _COMMAND.search(said), _ARGUMENTS.search(said)
    if name is None or not said.lstrip().startswith("<command-"):
        return ""
    return f"{name[1].strip()} {arguments[1].strip() if arguments else ''}".strip()


def _is_bare_command(messages: list[Any]) -> bool:
    """Whether a turn is a slash command that the model never saw, such as /clear."""
    return len(messages) == 1 and re.match(r"/[\w:-]+", messages[0].text) is not None


def _said(content: Any) -> Iterator[Part]:
    if isinstance(content, str):
        yield Text(content)
    for item in items(content):
        match item.get("type"):
            case "text":
                yield Text(text(item.get("text")))
            case "thinking":  # without its signature no API takes it back: it is only shown
                yield Think(text(item.get("thinking")))
            case "tool_use":
                yield our_call(text(item.get("id")), text(item.get("name")), item.get("input"))
