"""Events to updates: the one fold of the program (agent/transcript.py) told in the words of the protocol.

A session that is loaded passes through the same translation as one that runs, so its cards are those that were seen.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from kimi_acp.blocks import image_block, text_block
from kimi_acp.cards import Cards, arguments_of
from kimi_acp.children import Children
from kimi_acp.client import Client
from kimi_acp.prompt import title_of_prompt
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
TODOS = "todos"
"""The id of the list of tasks, among plans."""
_DONE = {"done": "completed", "in_progress": "in_progress", "pending": "pending"}


class Translation:
    """Of one session. `live`: the client has shown the person's prompts itself, and hears of errors by its request.

    `window` answers the context size of the model, in tokens, 0 when nobody knows. `session` is its id.
    A `child` is a subagent's.
    """

    def __init__(
        self,
        client: Client,
        root: str,
        window: Callable[[], int],
        *,
        live: bool,
        session: str = "",
        child: bool = False,
    ) -> None:
        self.transcript = Transcript()
        self._client, self._window, self._live, self._child = client, window, live, child
        self._cards = Cards(root, terminals=client.shows_terminals, nested=not client.subagents)

        def make(name: str) -> Translation:
            return Translation(client, root, window, live=live, session=name, child=True)

        self._children = Children(session, make) if client.subagents else None
        self._counted = False  # the tokens of this turn were told
        self._said = 0
        self._plans: set[int] = set()  # blocks whose plan is shown
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
        if self._children is not None:
            yield from self._children.rest(task.call_id for task in end.status.tasks)

    def apply(self, event: ev.Event) -> list[Update]:
        changed = self.transcript.apply(event)
        match event:
            case ev.Nested(call, inner) if self._children is not None and self._children.knows(call, inner):
                return self._children.apply(call, inner)
            case ev.ToolProgress(_, text):
                return [u for b in changed if isinstance(b, CallBlock) for u in self._cards.progress(b, text)]
            case ev.ToolFinished():  # its result comes next, and completes the card
                return self._plan()
            case ev.Nested(_, inner) if ev.is_delta(inner):
                return []
            case ev.Retrying(attempt) if attempt:
                return self._say("warning", retrying(event), "") if self._client.notices else []
            case ev.Usage():
                return [self.usage()]
            case ev.Titled(title):
                return [info(title)]
            case ev.TurnStarted():
                self._counted = False
            case ev.TaskChanged() if not self._client.notices:  # worth a message, however it went
                return [u for b in changed if isinstance(b, NoticeBlock) for u in self._once(b.key, "warning", b.text)]
        updates = [update for block in changed if block.key not in self._hidden for update in self._block(block)]
        if isinstance(event, ev.Rewound | ev.Redone):
            updates += self._plan()
        if isinstance(event, ev.TurnEnded) and not self._counted and not self._child:
            updates.append(self.usage())  # some clients wait for a count
        return updates

    def say(self, text: str) -> list[Update]:
        """A warning that is no part of the session."""
        self._said += 1
        return self._say("warning", text, f"warning-{self._said}")

    def session_of(self, call: str) -> str | None:
        """The session of the subagent that has made a call; None for a call of this one."""
        return self._children.session_of(call) if self._children is not None else None

    def has(self, call: str) -> bool:
        return any(isinstance(block, CallBlock) and block.call.id == call for block in self.transcript.blocks)

    def terminal(self, terminal: str, line: str) -> list[Update]:
        """The editor's terminal in which the newest call runs whose command is in `line`."""
        for block in reversed(self.transcript.blocks):
            if isinstance(block, CallBlock) and block.state == "running" and self._cards.runs_in(block, terminal, line):
                return self._cards.update(block)
        return []

    def usage(self) -> Update:
        self._counted = True
        status = self.transcript.status
        size = status.context_size or self._window() or max(status.context, UNKNOWN_WINDOW)
        update: Update = {"sessionUpdate": "usage_update", "used": status.context, "size": size}
        if status.cost is not None:  # prices are in the currency of the configuration, which has no name
            update["_meta"] = {"kimi": {"cost": status.cost}}
        return update

    def _block(self, block: AnyBlock) -> list[Update]:
        match block:
            case CallBlock():
                card = self._cards.update(block) if not block.void else []
                return [*card, *self._written_plan(block)]
            case AnswerBlock() | ThoughtBlock():
                return self._text(block)
            case PromptBlock() if not self._child:
                return [*(self._prompt(block) if not self._live else []), *self._first_title(block)]
            case NoticeBlock(level=level, text=text):
                hidden = level == "error" and (self._live or self._child)
                return [] if hidden else self._once(block.key, level, text)
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

    def _first_title(self, block: PromptBlock) -> list[Update]:
        """A session that nobody has given a name is called by its first prompt."""
        first = next(b for b in self.transcript.blocks if isinstance(b, PromptBlock))
        new = block is first and block.key not in self._told and not self.transcript.status.title
        self._told.add(block.key)
        return [info(title)] if new and (title := title_of_prompt(block.text)) else []

    def _once(self, key: int, level: str, text: str) -> list[Update]:
        if key in self._told:
            return []
        self._told.add(key)
        return self._say(level, text, f"message-{key}")

    def _say(self, level: str, text: str, message: str) -> list[Update]:
        """A notice where the client has them; else a text, unless it says only what the end of the turn says, too."""
        text = plain(text)
        if self._client.notices:
            title, _, more = text.partition("\n")
            notice: Update = {"sessionUpdate": "notice", "severity": level, "title": title}
            return [notice | ({"description": more} if more.strip() else {})]
        return [chunk("agent_message_chunk", f"\n\n_{text}_\n\n", message)] if level != "info" else []

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
        if not self._client.plans:
            return [{"sessionUpdate": "plan", "entries": entries}]
        if not entries:
            return [{"sessionUpdate": "plan_removed", "planId": TODOS}]
        return [{"sessionUpdate": "plan_update", "plan": {"type": "items", "planId": TODOS, "entries": entries}}]

    def _written_plan(self, block: CallBlock) -> list[Update]:
        """The plan that is laid before the person, where the client shows more than lists; one that was undone goes again."""
        if not self._client.plans or block.call.name != "ExitPlanMode":
            return []
        if block.void and block.key in self._plans:
            self._plans.discard(block.key)
            return [{"sessionUpdate": "plan_removed", "planId": f"plan-{block.key}"}]
        given = arguments_of(block.call) if block.call.id else None
        text = given.get("plan") if isinstance(given, dict) else None
        if block.void or block.key in self._plans or not isinstance(text, str) or not text.strip():
            return []
        self._plans.add(block.key)
        plan = {"type": "markdown", "planId": f"plan-{block.key}", "content": plain(text)}
        return [{"sessionUpdate": "plan_update", "plan": plan}]


def chunk(name: str, text: str, message: str) -> Update:
    return {"sessionUpdate": name, "content": text_block(text), "messageId": message}


def info(title: str, updated: float | None = None) -> Update:
    when = datetime.fromtimestamp(updated, UTC) if updated is not None else datetime.now(UTC)
    return {"sessionUpdate": "session_info_update", "title": title or None, "updatedAt": when.isoformat()}
