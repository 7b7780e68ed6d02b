"""The history that the model sees, as a fold of the session's durable events. It is always well formed.

Well formed: every tool call of an assistant message is followed, before any other message, by exactly one result with its
id, and there is no result without a call. `repairs` restores this at the end of whatever went wrong.
"""

import copy
import itertools
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Message, Part, Text, ToolCall, ToolResult, tool_message

STARTED_UNKNOWN = (
    "Interrupted: the call had started and its outcome is unknown; it may have had side effects. "
    "Check before repeating it."
)
NEVER_STARTED = "Interrupted before it ran."


class History:
    """`messages` is append-only between compactions, so an (object, length) pair marks any earlier state."""

    def __init__(self, scratch: Path) -> None:
        """`scratch` is the session's folder of whole tool outputs."""
        self.scratch = scratch
        self.messages: list[Message] = []
        self.started: set[str] = set()  # ids of calls that began to act
        self._ids: tuple[list[Message], set[str]] = (self.messages, set())  # of the calls in that list
        self._renamed: dict[str, str] = {}  # ids of the last reply's calls that were taken
        self._subagents: dict[str, str] = {}  # by call id: the subagent that worked for it
        self._marks: list[tuple[list[Message], int, int]] = []  # (list, length, length after): after < 0 marks a turn
        self._undone: list[tuple[int, list[Message], list[tuple[list[Message], int, int]]]] = []  # to be redone
        self._whole: dict[str, Message] = {}  # by call id: the results whose output was ever taken out

    def apply(self, event: ev.Event) -> None:
        match event:
            case ev.MessageAdded(message):
                self._add(message)
            case ev.TurnStarted():
                self._undone.clear()
                self._marks.append((self.messages, len(self.messages), -1))
            case ev.ToolStarted(call):
                self.started.add(call.id)
            case ev.Nested(call_id, ev.SubagentStarted(agent_id)):
                self._subagents[call_id] = agent_id
            case ev.Compacted():
                self._undone.clear()
                replaced = self._compact(event)
                self._marks.append((self.messages, len(self.messages), len(replaced)))
                self.messages = replaced
            case ev.Pinned(at, on):
                self._pin(at, on)
            case ev.Redone():
                self._redo()
            case ev.Rewound(turns, compaction):
                self._undo_compaction() if compaction else self._undo_turns(turns)
            case _:
                pass

    def _add(self, message: Message) -> None:
        """Append a message. What lost lines of a log left without its other half is left out or closed."""
        self._undone.clear()
        if message.result is None:
            self.messages += self.repairs()
            message = self._with_own_ids(message)
        else:
            message = self._of_open_call(message, message.result)
            if result_id(message) not in self.open_calls():
                return
        self.messages.insert(self._place(message), message)

    def _with_own_ids(self, message: Message) -> Message:
        """Without calls that it holds twice, and with other ids for those whose ids the history has already.

        Logs of other programs repeat them, and no API takes that.
        """
        if self._ids[0] is not self.messages:
            self._ids = (self.messages, {call.id for other in self.messages for call in other.calls})
        taken, self._renamed = self._ids[1], {}
        parts: list[Part] = []
        met: list[ToolCall] = []
        for part in message.parts:
            if isinstance(part, ToolCall):
                if part in met:
                    continue
                met.append(part)
                name = part.id
                if name in taken:
                    names = (f"{part.id}-{number}" for number in itertools.count(len(taken) + 1))
                    name = self._renamed[part.id] = next(free for free in names if free not in taken)
                    part = ToolCall(name, part.name, part.arguments)
                taken.add(name)
            parts.append(part)
        return message if tuple(parts) == message.parts else replaced(message, parts)

    def _of_open_call(self, message: Message, result: ToolResult) -> Message:
        """The result with the id that its call has here."""
        if result.call_id in self._renamed and result.call_id not in self.open_calls():
            return replaced(message, [ToolResult(self._renamed[result.call_id], result.content, result.is_error)])
        return message

    def _place(self, message: Message) -> int:
        """Results stand in the order of their calls, whichever was ready first: some chat templates go by position."""
        place = len(self.messages)
        if message.result is None:
            return place
        start = next(i for i in range(place - 1, -1, -1) if self.messages[i].role == "assistant")
        order = {call.id: n for n, call in enumerate(self.messages[start].calls)}
        mine = order[message.result.call_id]
        while place > start + 1 and order[result_id(self.messages[place - 1])] > mine:
            place -= 1
        return place

    def _compact(self, event: ev.Compacted) -> list[Message]:
        if event.kind == "summary":
            return [copy.copy(message) for message in event.messages]  # as from the log: a pin here is none before
        change = self._prune if event.kind == "prune" else self._restore
        calls = frozenset(event.pruned)
        return [change(message) if result_id(message) in calls else message for message in self.messages]

    def _prune(self, message: Message) -> Message:
        if message.result is None or self.dropped(message) is not None:
            return message
        self._whole[message.result.call_id] = message
        return self._without_output(message.result)

    def _without_output(self, result: ToolResult) -> Message:
        where = self.scratch / output_file(result.call_id)
        note = f"[Output removed to save context. The whole text is in {where}]"
        return Message("tool", (ToolResult(result.call_id, (Text(note),), result.is_error),), "agent")

    def _restore(self, message: Message) -> Message:
        return self.dropped(message) or message

    def dropped(self, message: Message) -> Message | None:
        """The whole result that `message` stands for, when its output was taken out."""
        whole = self._whole.get(result_id(message))
        if whole is None or whole.result is None or message.result != self._without_output(whole.result).result:
            return None
        return whole

    def _pin(self, at: int, on: bool) -> None:
        """Mark a message, wherever it is remembered: undo must not lose the mark."""
        if not 0 <= at < len(self.messages):
            return  # lines of the log are lost
        old = self.messages[at]
        new = Message(old.role, old.parts, old.origin, on)
        for messages in {id(kept): kept for kept in (self.messages, *self._remembered())}.values():
            messages[:] = [new if message is old else message for message in messages]
        self._whole = {call_id: new if message is old else message for call_id, message in self._whole.items()}

    def _remembered(self) -> Iterable[list[Message]]:
        yield from (mark[0] for mark in self._marks)
        for _, messages, marks in self._undone:
            yield messages
            yield from (mark[0] for mark in marks)

    def turns(self) -> int:
        """How many turns can be undone."""
        return sum(after < 0 for _, _, after in self._marks)

    def require_turns(self, turns: int) -> None:
        """Raises SessionError unless so many turns can be undone."""
        available = self.turns()
        if not 0 < turns <= available:
            raise SessionError(f"there are {available} turns to undo, not {turns}" if available else "nothing to undo")

    def last_is_compaction(self) -> bool:
        """Whether nothing was said since the last compaction."""
        return bool(self._marks) and self._marks[-1][2] == len(self.messages)

    @property
    def can_redo(self) -> int:
        """The turns of the last undo, 0 when nothing can be redone."""
        return self._undone[-1][0] if self._undone else 0

    def _undo_turns(self, turns: int) -> None:
        now, kept, left = self.messages, list(self._marks), turns
        while left > 0 and self._marks:
            messages, length, after = self._marks.pop()
            self.messages = messages[:length]
            left -= after < 0
        self._undone.append((turns - left, now, kept[len(self._marks) :]))

    def _redo(self) -> None:
        if self._undone:
            _, self.messages, marks = self._undone.pop()
            self._marks += marks

    def _undo_compaction(self) -> None:
        for position in range(len(self._marks) - 1, -1, -1):
            messages, length, after = self._marks[position]
            if after >= 0:
                self._undone.clear()
                since, self.messages = self.messages[after:], messages[:length]
                del self._marks[position]
                for message in since:
                    self._add(message)
                return

    def open_calls(self) -> list[str]:
        """Ids of the last assistant message's calls that have no result yet, in order."""
        answered: set[str] = set()
        for message in reversed(self.messages):
            if result := message.result:
                answered.add(result.call_id)
            else:
                return [call.id for call in message.calls if call.id not in answered]
        return []

    def settled(self) -> list[Message]:
        """The messages before the reply whose calls run now: well formed at any time."""
        if not self.open_calls():
            return list(self.messages)
        end = next(n for n in range(len(self.messages) - 1, -1, -1) if self.messages[n].role == "assistant")
        return self.messages[:end]

    def repairs(self) -> list[Message]:
        """The results that close what a crash left open, in order."""
        return [tool_message(call_id, self._how_far(call_id), is_error=True) for call_id in self.open_calls()]

    def _how_far(self, call_id: str) -> str:
        """What is known of a call that a crash has cut off."""
        if call_id not in self.started:
            return NEVER_STARTED
        agent = self._subagents.get(call_id)
        return f"{STARTED_UNKNOWN}\n[subagent {agent}; resume={agent} asks it to go on.]" if agent else STARTED_UNKNOWN


def fold(events: Iterable[ev.Event], scratch: Path) -> History:
    history = History(scratch)
    for event in events:
        history.apply(event)
    return history


def replaced(message: Message, parts: Iterable[Part]) -> Message:
    return Message(message.role, tuple(parts), message.origin, message.pinned)


def result_id(message: Message) -> str:
    return message.result.call_id if message.result else ""


def output_file(call_id: str) -> str:
    """File name, in the session's scratch folder, of a call's whole output."""
    name = "".join(c if (c.isascii() and c.isalnum()) or c in "-_" else "-" for c in call_id)
    if len(name) > 100:  # file systems take 255 bytes
        name = f"{name[:80]}-{zlib.crc32(call_id.encode('utf-8', 'replace')):08x}"
    return name + ".txt"


def is_well_formed(messages: Sequence[Message]) -> bool:
    """The invariant of this module, for tests and assertions."""
    open_calls: list[str] = []
    for message in messages:
        if result := message.result:
            if result.call_id not in open_calls:
                return False
            open_calls.remove(result.call_id)
        elif open_calls:
            return False
        else:
            open_calls = [call.id for call in message.calls]
            if len(set(open_calls)) != len(open_calls):
                return False
    return not open_calls
