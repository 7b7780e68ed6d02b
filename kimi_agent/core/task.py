"""Work that goes on in the background of a session: commands and subagents."""

import os
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from kimi_agent.core.record import Record
from kimi_agent.core.sanitize import plain

TaskState: TypeAlias = Literal["running", "done", "failed", "stopped", "timed_out", "lost"]
"""`lost`: it ran when kimi itself ended without a chance to say how it went."""


class Task(Record):
    """One task. `title` is the command line or what the subagent does, `output` the file that it writes to as it runs.

    `limit` is in seconds, None for "as long as the session"; times are seconds since 1970. `report` is what the model is to be
    told when it ends (a subagent's answer).
    """

    id: str
    kind: Literal["command", "agent"]
    title: str
    call_id: str
    output: str
    started: float
    limit: float | None = None
    state: TaskState = "running"
    ended: float = 0.0
    exit_code: int | None = None
    report: str = ""


class TaskEnd(Record):
    """How a task's work ended by itself."""

    failed: bool
    exit_code: int | None = None
    report: str = ""


class Tasks(Protocol):
    """The tasks of a session. They end with it."""

    def start(
        self,
        kind: Literal["command", "agent"],
        title: str,
        work: Awaitable[TaskEnd],
        *,
        call_id: str,
        output: Path,
        limit: float | None = None,
    ) -> Task:
        """Let `work` (a coroutine, or an asyncio task that runs already) go on. When it ends the agent is told, and woken.

        Raises ToolError when too many run. Cancelling `work` must end all that it started.
        """
        ...

    def list(self) -> Sequence[Task]:
        """Every task of the session, the newest first."""
        ...

    def get(self, task_id: str) -> Task:
        """Raises ToolError when there is no such task."""
        ...

    async def wait(self, task_id: str, timeout: float) -> Task:
        """The task when it has ended or `timeout` (seconds) has passed. The agent is not told of its end once more."""
        ...

    async def stop(self, task_id: str) -> Task:
        """End a task with all that it started. Raises ToolError when it has ended already."""
        ...


def how_it_went(task: Task) -> str:
    """`done, exit code 0`."""
    code = f", exit code {task.exit_code}" if task.exit_code is not None else ""
    lost = ": this session does not have it any more" if task.state == "lost" else ""
    return task.state.replace("_", " ") + code + lost


def told_person(task: Task) -> tuple[Literal["info", "warning"], str]:
    """What a person is told of a task that has ended, and how loud. Not sanitised."""
    lines = task.title.strip().splitlines() or [""]
    title = lines[0][:200] + (" …" if len(lines) > 1 or len(lines[0]) > 200 else "")
    return "info" if task.state in ("done", "stopped") else "warning", f"Task {task.id} {how_it_went(task)}: {title}"


def last_lines(path: Path, limit: int = 3_000) -> str:
    """The end of a task's output file, at most `limit` bytes, from the beginning of a line; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            data = file.read(limit)
    except OSError:
        return ""
    if size > limit:
        data = data[data.find(b"\n", 0, limit // 2) + 1 :]
    return plain(data.decode("utf-8", "replace")).strip("\n")
