"""Events to updates: the one fold of the program (agent/transcript.py) told in the words of the protocol.

A session that is loaded passes through the same translation as one that runs, so its cards are those that were seen.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from kimi_acp.blocks import image_block, text_block
from kimi_acp.cards import Cards
from kimi_acp.client import Client
from kimi_agent.agent.transcript import (
    AnswerBlock,
    AnyBlock,
    CallBlock,
    CompactionBlock,
    EvidenceBlock,
    NoticeBlock,
    PromptBlock,
    ThoughtBlock,
    Transcript,
)
from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import evidence, retrying, thousands

Update = dict[str, Any]
UNKNOWN_WINDOW = 128_000
"""Tokens, for a model whose window nobody knows: clients divide by it."""
_DONE = {"done": "completed", "in_progress": "in_progress", "pending": "pending"}


class Translation:
    """Of one session. `live`: the client has shown the person's prompts itself, and hears of errors by its request.

    `window` answers the context size of the model, in tokens, 0 when nobody knows.
    """

    def __init__(self, client: Client, root: str, window: Callable[[], int], *, live: bool) -> None:
        self.transcript = Transcript()
        self._client, self._window, self._live = client, window, live
        self._cards = Cards(root, terminals=client.shows_terminals)
        self._sent: dict[int, int] = {}  # by block: characters of its text
        self._told: set[int] = set()
        self._todos: tuple[Todo, ...] = ()
        self._hidden: frozenset[int] = frozenset()  # blocks that are void in the end

    def skip(self, events: Iterable[ev.Event]) -> None:
        """Take up what has happened before without telling it."""
        for event in events:
            self.apply(event)

    def replay(self, events: list[ev.Event]) -> Iterator[Update]:
        """All updates of a session so far, less what was withdrawn or undone."""
        end = Transcript()
        for event in events:
            end.apply(event)
        self._hidden = frozenset(block.key for block in end.blocks if block.void)
        for event in events:
            yield from self.apply(event)
        self._hidden = frozenset()
        if end.status.context:
            yield self.usage()

    def apply(self, event: ev.Event) -> list[Update]:
        changed = self.transcript.apply(event)
        match event:
            case ev.ToolProgress(_, text):
                return [u for b in changed if isinstance(b, CallBlock) for u in self._cards.progress(b, text)]
            case ev.ToolFinished():  # its result comes next, and completes the card
                return self._plan()
            case ev.Nested(_, inner) if ev.is_delta(inner):
                return []
            case ev.Retrying(attempt) if attempt:
                return self._say("warning", retrying(event), -1) if self._client.notices else []
            case ev.Usage() if self._live:
                return [self.usage()]
            case ev.Titled(title):
                return [info(title)]
        updates = [update for block in changed if block.key not in self._hidden for update in self._block(block)]
        if isinstance(event, ev.Rewound | ev.Redone):
            updates += self._plan()
        return updates

    def terminal(self, terminal: str, line: str) -> list[Update]:
        """The editor's terminal in which the newest call runs whose command is in `line`."""
        for block in reversed(self.transcript.blocks):
            if isinstance(block, CallBlock) and block.state == "running" and self._cards.runs_in(block, terminal, line):
                return self._cards.update(block)
        return []

    def usage(self) -> Update:
        status = self.transcript.status
        size = status.context_size or self._window() or max(status.context, UNKNOWN_WINDOW)
        update: Update = {"sessionUpdate": "usage_update", "used": status.context, "size": size}
        if status.cost is not None:  # prices are in the currency of the configuration, which has no name
            update["_meta"] = {"kimi": {"cost": status.cost}}
        return update

    def _block(self, block: AnyBlock) -> list[Update]:
        match block:
            case CallBlock(void=False):
                return self._cards.update(block)
            case AnswerBlock() | ThoughtBlock():
                return self._text(block)
            case PromptBlock() if not self._live:
                return self._prompt(block)
            case NoticeBlock(level=level, text=text):
                return [] if self._live and level == "error" else self._once(block.key, level, text)
            case EvidenceBlock(evidence=found):
                return self._once(block.key, "warning", evidence(found))
            case CompactionBlock():
                return self._compaction(block)
        return []

    def _text(self, block: AnswerBlock | ThoughtBlock) -> list[Update]:
        sent = self._sent.get(block.key, 0)
        if block.void or len(block.text) <= sent:
            return []
        self._sent[block.key] = len(block.text)
        name = "agent_message_chunk" if isinstance(block, AnswerBlock) else "agent_thought_chunk"
        return [chunk(name, block.text[sent:], f"message-{block.key}")]

    def _prompt(self, block: PromptBlock) -> list[Update]:
        """Its pictures may come after its text."""
        sent, parts = self._sent.get(block.key, 0), [text_block(block.text), *map(image_block, block.images)]
        self._sent[block.key] = len(parts)
        return [
            {"sessionUpdate": "user_message_chunk", "content": part, "messageId": f"message-{block.key}"}
            for part in parts[sent:]
            if part.get("text") != ""
        ]

    def _once(self, key: int, level: str, text: str) -> list[Update]:
        if key in self._told:
            return []
        self._told.add(key)
        return self._say(level, text, key)

    def _say(self, level: str, text: str, key: int) -> list[Update]:
        """A notice where the client has them; else a text, unless it says only what the end of the turn says, too."""
        text = plain(text)
        if self._client.notices:
            title, _, more = text.partition("\n")
            notice: Update = {"sessionUpdate": "notice", "severity": level, "title": title}
            return [notice | ({"description": more} if more.strip() else {})]
        return [chunk("agent_message_chunk", f"\n\n_{text}_\n\n", f"message-{key}")] if level != "info" else []

    def _compaction(self, block: CompactionBlock) -> list[Update]:
        if block.key in self._told or block.void or block.kind == "restore":
            return []
        self._told.add(block.key)
        text = f"The conversation was shortened: {thousands(block.before)} to {thousands(block.after)} tokens."
        if not self._client.compaction:
            return [chunk("agent_message_chunk", f"\n\n_{text}_\n\n", f"message-{block.key}")]
        name = f"compaction-{block.key}"
        done = {"sessionUpdate": "compaction_update", "compactionId": name, "status": "completed"}
        return [{**done, "summary": [text_block(text)]}]

    def _plan(self) -> list[Update]:
        todos = self.transcript.status.todos
        if todos == self._todos:
            return []
        self._todos = todos
        entries = [{"content": plain(t.title), "priority": "medium", "status": _DONE[t.status]} for t in todos]
        return [{"sessionUpdate": "plan", "entries": entries}]


def chunk(name: str, text: str, message: str) -> Update:
    return {"sessionUpdate": name, "content": text_block(text), "messageId": message}


def info(title: str, updated: float | None = None) -> Update:
    when = datetime.fromtimestamp(updated, UTC) if updated is not None else datetime.now(UTC)
    return {"sessionUpdate": "session_info_update", "title": title or None, "updatedAt": when.isoformat()}
