"""What a status line can show of a session, and how the end of a turn is told."""

from typing import Literal, TypeAlias

from msgspec import Struct

from kimi_agent.core import event as ev
from kimi_agent.core.display import Todo
from kimi_agent.core.goal import Goal
from kimi_agent.core.task import Task

Level: TypeAlias = Literal["info", "warning", "error"]


class McpTally(Struct, frozen=True):
    """How many MCP servers there are that are turned on, and how many of them are ready, failed, or wait for a person."""

    total: int
    ready: int = 0
    failed: int = 0
    unapproved: int = 0
    unsigned: int = 0

    @property
    def worries(self) -> bool:
        return bool(self.failed or self.unapproved or self.unsigned)


class Status(Struct):
    """What a status line shows. `cost` is None until a request with known prices was made. Tokens are session totals.

    `tasks` are those that run in the background, `agent` is the subagent that a nested transcript is about.
    """

    session_id: str = ""
    cwd: str = ""
    model: str = ""
    mode: ev.Mode = "default"
    title: str = ""
    running: bool = False
    step: int = 0
    context: int = 0
    context_size: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float | None = None
    todos: tuple[Todo, ...] = ()
    steering: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    retry: ev.Retrying | None = None
    prefill: ev.Prefill | None = None
    goal: Goal | None = None
    tasks: tuple[Task, ...] = ()
    agent: ev.SubagentStarted | None = None
    mcp: McpTally | None = None


STOP_NOTICES: dict[ev.Stop, tuple[Level, str]] = {
    "interrupted": ("info", "Interrupted."),
    "max_steps": ("warning", "Stopped at the step limit."),
    "repeated_calls": ("warning", "Stopped: the same tool call was repeated too often."),
    "rejected": ("info", "Stopped: you rejected a tool call. Say what to do instead."),
}
