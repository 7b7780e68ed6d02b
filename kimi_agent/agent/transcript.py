"""The one fold from events to what a person reads: TUI, line mode, replay, export and ACP load all use it.

`Transcript.apply(event)` answers the blocks that the event changed, so that a screen redraws only those. Applying the live
events of a session and applying its replayed log give the same blocks.
"""

from typing import Literal, TypeAlias, TypeVar

from msgspec import Struct

from kimi_agent.agent.status import STOP_NOTICES, Level, Status
from kimi_agent.core import event as ev
from kimi_agent.core.display import Display, Todo, TodoList
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import Image, Message, Text, Think, ToolCall
from kimi_agent.core.task import Task, told_person

LIVE_OUTPUT_LIMIT = 64_000
"""Characters of live tool output kept per block; the head is dropped, the finished call's display has what matters."""


class Withdrawable(Struct, eq=False, kw_only=True):
    """`void` ones are not shown: their text was withdrawn (a retry, an undo)."""

    void: bool = False


class Block(Withdrawable, eq=False):
    """A piece of the transcript."""

    key: int


class PromptBlock(Block, eq=False):
    text: str
    images: tuple[Image, ...] = ()


class ThoughtBlock(Block, eq=False):
    text: str = ""
    done: bool = False


class AnswerBlock(Block, eq=False):
    text: str = ""
    done: bool = False
    partial: bool = False


class CallBlock(Block, eq=False):
    """A tool call. `output` is the tail of its live output; `result` what the model was told."""

    call: ToolCall
    state: Literal["writing", "waiting", "running", "done", "failed"] = "waiting"
    size: int = 0
    effects: tuple[Effect, ...] = ()
    output: str = ""
    display: Display | None = None
    result: str = ""
    seconds: float = 0.0
    nested: "Transcript | None" = None


class NoticeBlock(Block, eq=False):
    level: Level
    text: str


class EvidenceBlock(Block, eq=False):
    """Below an answer: what a claim of it rests on."""

    evidence: ev.Evidence


class CompactionBlock(Block, eq=False):
    before: int
    after: int
    kind: Literal["prune", "summary", "restore"] = "summary"


AnyBlock: TypeAlias = (
    PromptBlock | ThoughtBlock | AnswerBlock | CallBlock | NoticeBlock | EvidenceBlock | CompactionBlock
)
_REPLY_BLOCKS = (ThoughtBlock, AnswerBlock, CallBlock)
AnyBlockT = TypeVar("AnyBlockT", bound=AnyBlock)
_Begin: TypeAlias = tuple[int, tuple[Todo, ...]]
"""Of a turn: its first block, its todos before."""


class Transcript:
    def __init__(self) -> None:
        self.blocks: list[AnyBlock] = []
        self.subagents: list[CallBlock] = []  # those of the blocks that began one
        self.status = Status()
        self._calls: dict[str, CallBlock] = {}
        self._turns: list[_Begin] = []  # of each turn that is not undone
        self._undone: list[tuple[list[AnyBlock], list[_Begin], tuple[Todo, ...]]] = []  # what each undo took
        self._step_start = 0  # index in blocks where the running step begins
        self._writing: dict[int, CallBlock] = {}  # by index in the reply being streamed
        self._replying = False  # a reply is being streamed
        self._later: list[tuple[Level, str]] = []  # notices that came meanwhile: told below it, live as in a replay

    def apply(self, event: ev.Event) -> list[AnyBlock]:
        """Fold one event in; answer the blocks it created or changed, in order."""
        match event:
            case ev.TextDelta(text):
                return [self._stream(AnswerBlock, text)]
            case ev.ThinkDelta(text):
                return [self._stream(ThoughtBlock, text)]
            case ev.CallDelta(index, name, size):
                return [self._write_call(index, name, size)]
            case ev.ToolStarted() | ev.ToolProgress() | ev.ToolFinished() | ev.Nested():
                return self._tool_event(event)
            case ev.MessageAdded(message, partial):
                return self._message(message, partial)
            case ev.StepStarted(step, model):
                self._step_start, self._writing, self._replying = len(self.blocks), {}, True
                self.status.step, self.status.retry, self.status.prefill = step, None, None
                self.status.model = model or self.status.model
            case ev.Retrying():
                self.status.retry = event if event.attempt else None
                voided = self._void_from(self._step_start, _REPLY_BLOCKS)  # a summary's retry finds a prompt there
                return voided if event.attempt else [*voided, *self._tell_later()]
            case ev.Compacted() | ev.Notice() | ev.Evidence() | ev.GoalChanged():
                return self._tell(event)
            case ev.Rewound() | ev.Redone():
                return self._rewind(event)
            case ev.TaskChanged(task):
                return self._task(task)
            case ev.TurnEnded():
                return [*self._end_turn(event), *self._tell_later()]
            case _:
                self._update_status(event)
        return []

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _key(self) -> int:
        return len(self.blocks)

    def _add(self, block: AnyBlockT) -> AnyBlockT:
        self.blocks.append(block)
        return block

    def _stream(self, kind: type[ThoughtBlock | AnswerBlock], text: str) -> AnyBlock:
        block = self.blocks[-1] if len(self.blocks) > self._step_start else None
        if not isinstance(block, kind) or block.done or block.void:
            block = self._add(kind(self._key()))
        block.text += text
        return block

    def _write_call(self, index: int, name: str, size: int) -> AnyBlock:
        block = self._writing.get(index)
        if block is None:
            block = self._writing[index] = self._add(CallBlock(self._key(), ToolCall("", name, ""), "writing"))
        block.size = size
        if name and not block.call.name:
            block.call = ToolCall("", name, "")
        return block

    def _void_from(self, start: int, kinds: tuple[type[Block], ...] = (Block,)) -> list[AnyBlock]:
        voided: list[AnyBlock] = [
            block
            for block in self.blocks[start:]
            if isinstance(block, kinds) and not (block.void or isinstance(block, NoticeBlock))
        ]
        for block in voided:
            block.void = True
        self._step_start, self._writing = len(self.blocks), {}
        return voided

    # --- messages -----------------------------------------------------------------------------------------------------

    def _message(self, message: Message, partial: bool) -> list[AnyBlock]:
        if message.role == "assistant":
            return self._reply(message, partial)
        if result := message.result:
            block = self._calls.get(result.call_id)
            if block is None:
                return []
            block.result = "".join(part.text for part in result.content if isinstance(part, Text))
            if block.state in ("writing", "waiting", "running"):
                block.state = "failed" if result.is_error else "done"
            if block.nested and not any(task.call_id == result.call_id for task in self.status.tasks):
                block.nested.status.running = False  # its process may have been killed
            return [block]
        images = tuple(part for part in message.parts if isinstance(part, Image))
        if message.origin == "person":
            return [self._add(PromptBlock(self._key(), message.text, images))]
        prompt = self.blocks[-1] if self.blocks else None
        if not images or not isinstance(prompt, PromptBlock):
            return []
        prompt.images += images  # what it mentions comes in a message of its own
        return [prompt]

    def _reply(self, message: Message, partial: bool) -> list[AnyBlock]:
        """Settle the blocks of the reply that was streaming, or make them when the reply is replayed."""
        live = [b for b in self.blocks[self._step_start :] if isinstance(b, ThoughtBlock | AnswerBlock) and not b.void]
        if not live:
            live = self._replay_parts(message)
        for block in live:
            block.done, block.void = True, not block.text.strip()
            if isinstance(block, AnswerBlock):
                block.partial = partial
        changed: list[AnyBlock] = [*live, *self._settle_calls(message.calls)]
        changed += self._tell_later()
        self._step_start, self._writing = len(self.blocks), {}
        return changed

    def _task(self, task: Task) -> list[AnyBlock]:
        others = tuple(other for other in self.status.tasks if other.id != task.id)
        if task.state == "running":
            self.status.tasks = (*others, task)
            return []
        self.status.tasks = others
        block, changed = self._calls.get(task.call_id), list[AnyBlock]()
        if block is not None and block.nested:
            block.nested.status.running = False
            changed = [block]
        return [*changed, *self._notice(*told_person(task))]

    def _notice(self, level: Level, text: str) -> list[AnyBlock]:
        """A line of its own, below the reply that is being streamed."""
        if self._replying:
            self._later.append((level, text))
            return []
        return [self._add(NoticeBlock(self._key(), level, text))]

    def _tell_later(self) -> list[AnyBlock]:
        """The reply has ended: what was to be told below it."""
        self._replying = False
        later, self._later = self._later, []
        return [self._add(NoticeBlock(self._key(), level, text)) for level, text in later]

    def _settle_calls(self, calls: tuple[ToolCall, ...]) -> list[CallBlock]:
        writing = list(self._writing.values())  # in the order of the screen, which is to be that of a replay
        settled: list[CallBlock] = []
        for position, call in enumerate(calls):
            if position < len(writing):
                block = writing[position]
                block.call, block.state = call, "waiting"
            else:
                block = self._add(CallBlock(self._key(), call))
            self._calls[call.id] = block
            settled.append(block)
        for block in writing[len(calls) :]:
            block.void = True
        return [*settled, *writing[len(calls) :]]

    def _replay_parts(self, message: Message) -> list[ThoughtBlock | AnswerBlock]:
        """Blocks of a reply that was not seen live, as the stream would have made them."""
        blocks: list[ThoughtBlock | AnswerBlock] = []
        for part in message.parts:
            if not isinstance(part, Think | Text) or not part.text:
                continue
            kind = ThoughtBlock if isinstance(part, Think) else AnswerBlock
            if not blocks or not isinstance(blocks[-1], kind):
                blocks.append(self._add(kind(self._key())))
            blocks[-1].text += part.text
        return blocks

    def _tool_event(self, event: ev.ToolStarted | ev.ToolProgress | ev.ToolFinished | ev.Nested) -> list[AnyBlock]:
        call_id = event.call.id if isinstance(event, ev.ToolStarted) else event.call_id
        for usage in ev.usages([event]):
            self._count(usage)
        block = self._calls.get(call_id)
        if block is None:
            return []
        match event:
            case ev.ToolStarted(call, effects):  # a hook may have written its input anew
                block.call, block.state, block.effects = call, "running", effects
            case ev.ToolProgress(_, text):
                block.output = (block.output + text)[-LIVE_OUTPUT_LIMIT:]
            case ev.ToolFinished(_, display, is_error, seconds):
                block.state = "failed" if is_error else "done"
                block.display, block.seconds, block.output = display, seconds, ""
                if isinstance(display, TodoList):
                    self.status.todos = display.items
            case ev.Nested(_, inner):
                if block.nested is None:
                    block.nested = Transcript()
                    self.subagents.append(block)
                block.nested.apply(inner)
        return [block]

    def _tell(self, event: ev.Compacted | ev.Notice | ev.Evidence | ev.GoalChanged) -> list[AnyBlock]:
        match event:
            case ev.Compacted(before, after, _, kind, _):
                self.status.context = after
                return [self._add(CompactionBlock(self._key(), before, after, kind))]
            case ev.Notice(level, text):
                return self._notice(level, text)
            case ev.Evidence():
                return [self._add(EvidenceBlock(self._key(), event))]
            case ev.GoalChanged(goal):
                self.status.goal = goal
                if goal.state == "active" and not goal.told:
                    return []
                severe = goal.state in ("blocked", "spent")
                text = f"{goal.progress[:1].upper()}{goal.progress[1:]}: {goal.told}"
                return self._notice("warning" if severe else "info", text)

    # --- turns and status ---------------------------------------------------------------------------------------------

    def _rewind(self, event: ev.Rewound | ev.Redone) -> list[AnyBlock]:
        if isinstance(event, ev.Redone):
            return self._redo()
        turns = event.turns
        if event.compaction:
            block = next((b for b in reversed(self.blocks) if isinstance(b, CompactionBlock) and not b.void), None)
            if block is None:
                return []
            block.void = True
            return [block]
        if not 0 < turns <= len(self._turns):
            return []
        begins, todos = self._turns[-turns:], self.status.todos
        start, self.status.todos = begins[0]
        del self._turns[-turns:]
        voided = self._void_from(start)
        self._undone.append((voided, begins, todos))
        return voided

    def _redo(self) -> list[AnyBlock]:
        if not self._undone:
            return []
        blocks, begins, self.status.todos = self._undone.pop()
        self._turns += begins
        for block in blocks:
            block.void = False
        return blocks

    def _end_turn(self, event: ev.TurnEnded) -> list[AnyBlock]:
        self.status.running, self.status.retry = False, None
        # Thoughts and calls of a reply that never became a message; a prompt whose first step never began stays.
        reply = (i for i, b in enumerate(self.blocks) if i >= self._step_start and isinstance(b, _REPLY_BLOCKS))
        unfinished = self._void_from(next(reply, len(self.blocks)))
        if event.stop == "error":
            return [*unfinished, self._add(NoticeBlock(self._key(), "error", event.error))]
        if (stop := STOP_NOTICES.get(event.stop)) is not None:
            return [*unfinished, self._add(NoticeBlock(self._key(), *stop))]
        return unfinished

    def _count(self, usage: ev.Usage) -> None:
        """Add the tokens of a request, a subagent's too, to the session's."""
        status = self.status
        status.input += usage.input
        status.output += usage.output
        status.cached += usage.cached
        if usage.cost is not None:
            status.cost = (status.cost or 0.0) + usage.cost

    def _update_status(self, event: ev.Event) -> None:
        status = self.status
        match event:
            case ev.SessionStarted(id=session_id, cwd=cwd, model=model):
                status.session_id, status.cwd, status.model = session_id, cwd, model
            case ev.SubagentStarted():
                status.agent = event
            case ev.Prefill():
                status.prefill = event
            case ev.TurnStarted():
                status.running, status.step = True, 0
                self._turns.append((len(self.blocks), status.todos))
            case ev.Usage():
                self._count(event)
                status.context, status.context_size = event.context, event.context_size
            case ev.ModeChanged(mode):
                status.mode = mode
            case ev.ModelChanged(model):
                status.model = model
            case ev.Titled(title):
                status.title = title
            case ev.Queued(steering, queue):
                status.steering, status.queue = steering, queue
            case _:
                pass
