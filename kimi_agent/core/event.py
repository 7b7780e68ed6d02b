"""Everything that can happen in a session, in one union. Events go one way: from the agent to whoever watches.

Durable events are written to the session file and replayed on resume; `DELTAS` are live only, because a `MessageAdded`
that follows carries the same text whole.
"""

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

from kimi_agent.core.display import Display
from kimi_agent.core.effect import Effect
from kimi_agent.core.goal import Goal
from kimi_agent.core.message import Message, ToolCall
from kimi_agent.core.record import Record
from kimi_agent.core.task import Task

Mode: TypeAlias = Literal["default", "plan", "yolo", "afk"]
Stop: TypeAlias = Literal["done", "interrupted", "error", "max_steps", "repeated_calls", "rejected", "cut_off"]


class SessionStarted(Record):
    """First record of a session file. `time` is seconds since 1970; `parent` is the session that this one was forked from."""

    id: str
    cwd: str
    time: float
    version: str
    model: str = ""
    parent: str = ""
    system_prompt: str = ""


class TurnStarted(Record):
    turn: int
    time: float = 0.0


class StepStarted(Record):
    """One request to the model begins."""

    step: int
    model: str = ""


class TextDelta(Record):
    text: str


class ThinkDelta(Record):
    text: str


class CallDelta(Record):
    """A piece of a tool call's arguments while the model writes them; `size` is how many characters there are so far."""

    index: int
    name: str
    size: int


class ToolStarted(Record):
    """Written before the call acts: a call with no result on resume may have had its effect."""

    call: ToolCall
    effects: tuple[Effect, ...] = ()


class ToolProgress(Record):
    call_id: str
    text: str


class ToolFinished(Record):
    call_id: str
    display: Display | None = None
    is_error: bool = False
    seconds: float = 0.0


class MessageAdded(Record):
    """The history grew. `partial` marks an assistant message that was cut off by an interrupt or a failure."""

    message: Message
    partial: bool = False


class Usage(Record):
    """Tokens of one request. `input` counts all prompt tokens, `cached` those of them that the provider had cached;
    `thought` those of `output` that were spent on reasoning, as far as the provider tells.

    `cost` is in the currency of the configured prices, None when the model has no prices; `context` is the share of the
    window that the next request will use at least (tokens), `context_size` the window (0: unknown).
    """

    model: str
    input: int
    output: int
    cached: int = 0
    cost: float | None = None
    context: int = 0
    context_size: int = 0
    thought: int = 0


class Retrying(Record):
    """The request failed and is made again in `wait_s` seconds; text streamed since `StepStarted` is void."""

    attempt: int
    wait_s: float
    error: str
    model: str = ""


class Prefill(Record):
    """The model has read `done` of the `total` tokens of the prompt; from servers that tell."""

    done: int
    total: int


class Compacted(Record):
    """The history was rewritten, to make it shorter. `before` and `after` are tokens.

    A `summary` replaces the whole history by `messages`; a `prune` keeps every message and replaces the output of the calls
    in `pruned` by a line that says where the whole text is; a `restore` puts the output of these calls back.
    """

    before: int
    after: int
    messages: tuple[Message, ...] = ()
    kind: Literal["prune", "summary", "restore"] = "summary"
    pruned: tuple[str, ...] = ()


class Pinned(Record):
    """The person wants the message at this place of the history (from 0) kept word for word, or (`on=False`) no more."""

    message: int
    on: bool = True


class Rewound(Record):
    """The last `turns` turns are taken out of the history (`/undo`), or one compaction is (`compaction=True`)."""

    turns: int = 0
    compaction: bool = False


class Redone(Record):
    """The `turns` turns of the last `Rewound` are in the history again (`/redo`)."""

    turns: int


class FilesChanged(Record):
    """Files changed, and what they were before is saved. `paths` names the first of them, `files` says how many there are.

    `by` says when: while `calls` acted; or, when it is not known who changed them, while only background `tasks` ran, while
    another kimi worked in the same folder (`others`), between a crash and the next start (`interrupted`). `undo` and `redo` are
    the person's. `record` is the id of the whole list in the snapshots.
    """

    by: Literal["calls", "tasks", "others", "interrupted", "undo", "redo"]
    files: int
    record: str
    paths: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


class ModeChanged(Record):
    mode: Mode


class ModelChanged(Record):
    model: str


class Titled(Record):
    title: str


class Queued(Record):
    """The texts that wait while a turn runs: `steering` joins before the next step, `queue` starts the next turns."""

    steering: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()


class Nested(Record):
    """An event of a subagent that the call `call_id` started."""

    call_id: str
    event: "Event"


class SubagentStarted(Record):
    """The first event of a subagent's life, and of each time that it is taken up again; always inside `Nested`.

    `agent_id` is unique in the session, `agent_type` the name of its type, `prompt` what it was asked to do. `system_prompt` is
    empty when it shares its parent's, `forked` is how many messages of its parent's history it begins with.
    """

    agent_id: str
    agent_type: str
    description: str
    prompt: str
    model: str = ""
    system_prompt: str = ""
    forked: int = 0


class TaskChanged(Record):
    """A background task was started, or has ended."""

    task: Task


class Evidence(Record):
    """What a claim of the last answer rests on ("tests pass"): the command that was run for it, its result and exit code.

    `exit_code` is None when another command hid it (a pipe). `verified` is false without a passing command since the last change
    of a file; then `reason` says what is missing.
    """

    claim: str
    verified: bool
    command: str = ""
    result: str = ""
    exit_code: int | None = None
    reason: str = ""


class GoalChanged(Record):
    """The session's goal was set, has come to its next round, or has ended."""

    goal: Goal


class Notice(Record):
    level: Literal["info", "warning", "error"]
    text: str


class TurnEnded(Record):
    """`error` is for people; `kind` names the error's class (see errors.py), so that a script can tell them apart.

    `status` is the HTTP status that the model's server answered with, 0 when there was none.
    """

    stop: Stop
    error: str = ""
    kind: str = ""
    steps: int = 0
    seconds: float = 0.0
    status: int = 0


Event: TypeAlias = (
    SessionStarted
    | TurnStarted
    | StepStarted
    | TextDelta
    | ThinkDelta
    | CallDelta
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | MessageAdded
    | Usage
    | Prefill
    | Retrying
    | Compacted
    | Pinned
    | Rewound
    | Redone
    | FilesChanged
    | ModeChanged
    | ModelChanged
    | Titled
    | Queued
    | Nested
    | SubagentStarted
    | TaskChanged
    | Evidence
    | GoalChanged
    | Notice
    | TurnEnded
)

DELTAS = (TextDelta, ThinkDelta, CallDelta, ToolProgress, Prefill, Queued)


def is_delta(event: Event) -> bool:
    """Whether the event is live only, itself or inside of a subagent."""
    while isinstance(event, Nested):
        event = event.event
    return isinstance(event, DELTAS)


def usages(events: Iterable[Event]) -> Iterator[Usage]:
    """The tokens of every request, those of subagents too."""
    for event in events:
        while isinstance(event, Nested):
            event = event.event
        if isinstance(event, Usage):
            yield event
