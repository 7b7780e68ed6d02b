"""The background tasks of one session: started by tools, watched here, ended with the session at the latest."""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError, ToolError
from kimi_agent.core.task import Task, TaskEnd, TaskState

MAX_RUNNING = 4
STOP_GRACE = 3.0
"""Seconds that a task gets to end when it is stopped."""


@dataclass(slots=True)
class _Running:
    work: asyncio.Future[TaskEnd]
    watcher: asyncio.Task[None]
    reason: TaskState | None = None


class BackgroundTasks:
    """Implements `core.task.Tasks`. `emit` shows and logs; `wake` is called when a task has ended that nobody waits for."""

    def __init__(
        self, emit: Callable[[ev.Event], None], wake: Callable[[], None], max_running: int = MAX_RUNNING
    ) -> None:
        self._emit, self._wake, self._max = emit, wake, max_running
        self._tasks: dict[str, Task] = {}
        self._running: dict[str, _Running] = {}
        self._waited: dict[str, int] = {}  # how many callers wait for its end now
        self._untold: list[str] = []

    # --- core.task.Tasks ----------------------------------------------------------------------------------------------

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
        future = asyncio.ensure_future(work)
        if len(self._running) >= self._max:
            future.cancel()
            running = ", ".join(self._running)
            raise ToolError(f"{self._max} background tasks run already ({running}). Wait for one, or stop one.")
        task_id = f"{'b' if kind == 'command' else 'a'}{len(self._tasks) + 1}"
        task = Task(task_id, kind, title, call_id, str(output), round(time.time(), 3), limit)
        self._tasks[task_id] = task
        watcher = asyncio.create_task(self._watch(task, future, limit), name=f"task {task_id}")
        self._running[task_id] = _Running(future, watcher)
        self._emit(ev.TaskChanged(task))
        return task

    def list(self) -> Sequence[Task]:
        return list(reversed(self._tasks.values()))

    def get(self, task_id: str) -> Task:
        task = self._tasks.get(task_id.strip())
        if task is None:
            known = ", ".join(self._tasks) or "there is none"
            raise ToolError(f"There is no background task {task_id!r}. Tasks: {known}.")
        return task

    async def wait(self, task_id: str, timeout: float) -> Task:
        task_id = self.get(task_id).id
        running = self._running.get(task_id)
        if running is not None:
            self._waited[task_id] = self._waited.get(task_id, 0) + 1
            try:
                await asyncio.wait([running.watcher], timeout=timeout)
            finally:
                self._waited[task_id] -= 1
        if self._tasks[task_id].state != "running":
            self._told(task_id)
        return self._tasks[task_id]

    async def stop(self, task_id: str) -> Task:
        task = self.get(task_id)
        running = self._running.get(task.id)
        if running is None:
            raise ToolError(f"The task {task.id} has ended already ({task.state}).")
        running.reason = "stopped"
        running.work.cancel()
        await self.wait(task.id, STOP_GRACE)
        return self._tasks[task.id]

    # --- for the session ----------------------------------------------------------------------------------------------

    def apply(self, event: ev.Event) -> None:
        """Fold an event of the log in, when a session is taken up again."""
        if isinstance(event, ev.TaskChanged):
            self._tasks[event.task.id] = event.task

    def close_lost(self) -> None:
        """Say of tasks that ran when the log ended that nobody knows how they went."""
        for task in self._tasks.values():
            if task.state == "running" and task.id not in self._running:
                self._set(task, state="lost", ended=round(time.time(), 3))

    def running(self) -> Sequence[Task]:
        return [self._tasks[task_id] for task_id in self._running]

    def take_ended(self) -> Sequence[Task]:
        """The tasks that have ended and that the model does not know of yet."""
        ended, self._untold = [self._tasks[task_id] for task_id in self._untold], []
        return ended

    @property
    def has_news(self) -> bool:
        return bool(self._untold)

    async def aclose(self) -> None:
        """Stop every task."""
        for running in self._running.values():
            running.reason = "stopped"
            running.work.cancel()
        if watchers := [running.watcher for running in self._running.values()]:
            await asyncio.wait(watchers, timeout=STOP_GRACE)

    # ------------------------------------------------------------------------------------------------------------------

    async def _watch(self, task: Task, work: asyncio.Future[TaskEnd], limit: float | None) -> None:
        done, _ = await asyncio.wait([work], timeout=limit)
        if not done:
            self._running[task.id].reason = "timed_out"
            work.cancel()
            await asyncio.wait([work], timeout=STOP_GRACE)
        running = self._running.pop(task.id)
        state: TaskState = "done"
        end = TaskEnd(failed=False)
        if running.reason is not None:
            state = running.reason
        elif work.cancelled():
            state = "stopped"
        elif (error := work.exception()) is not None:
            state, end = "failed", TaskEnd(True, None, f"{type(error).__name__}: {error}")
        else:
            end = work.result()
            state = "failed" if end.failed else "done"
        self._set(task, state=state, ended=round(time.time(), 3), exit_code=end.exit_code, report=end.report)
        if not self._waited.get(task.id):
            self._untold.append(task.id)
            self._wake()

    def _told(self, task_id: str) -> None:
        if task_id in self._untold:
            self._untold.remove(task_id)

    def _set(
        self, task: Task, *, state: TaskState, ended: float, exit_code: int | None = None, report: str = ""
    ) -> None:
        changed = Task(
            task.id, task.kind, task.title, task.call_id, task.output, task.started, task.limit, state, ended,
            exit_code, report,
        )  # fmt: skip
        self._tasks[task.id] = changed
        with contextlib.suppress(KimiError):  # a log that cannot be written: told already
            self._emit(ev.TaskChanged(changed))


def told_end(task: Task) -> str:
    """What the model is told of a task that has ended."""
    how = task.state.replace("_", " ") + (f", exit code {task.exit_code}" if task.exit_code is not None else "")
    seconds = max(0.0, task.ended - task.started)
    text = f"[The background task {task.id} has ended: {how}, after {seconds:.0f} s. {task.title[:200]}]"
    said = task.report or last_lines(Path(task.output))
    return f"{text}\n{said}\n[Its whole output: {task.output}]" if said else text


def last_lines(path: Path, limit: int = 3_000) -> str:
    """The end of a task's output file, at most `limit` bytes; empty when there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - limit))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
