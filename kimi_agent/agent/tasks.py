"""The background tasks of one session: started by tools, watched here, ended with the session at the latest."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError, ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.core.task import Task, TaskEnd, TaskState, how_it_went, last_lines

MAX_RUNNING = 4
STOP_GRACE = 3.0
"""Seconds that a task gets to end when it is stopped."""
REPORT_LIMIT = 100_000
"""Characters of a report that the model is told; a subagent's whole report is in its output file."""


class _Running(Struct):
    work: asyncio.Future[TaskEnd]
    watcher: asyncio.Task[None]
    reason: TaskState | None = None  # why it was cancelled

    def end(self, reason: TaskState) -> None:
        if self.work.cancel():  # else it has just ended by itself
            self.reason = self.reason or reason


class BackgroundTasks:
    """Implements `core.task.Tasks`. `emit` shows and logs; `wake` is called when a task has ended that nobody waits for.

    The model is told of every end once: by who waited for it, else by `take_ended`.
    """

    def __init__(
        self, emit: Callable[[ev.Event], None], wake: Callable[[], None], max_running: int = MAX_RUNNING
    ) -> None:
        self._emit, self._wake, self._max = emit, wake, max_running
        self._tasks: dict[str, Task] = {}
        self._running: dict[str, _Running] = {}
        self._waited: dict[str, int] = {}  # how many callers wait for its end now
        self._untold: list[str] = []
        self._old: frozenset[str] = frozenset()  # tasks of the log that was taken up
        self._closing = False

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
        try:
            self._emit(ev.TaskChanged(task))
        except KimiError:  # the log cannot be written
            future.cancel()
            raise
        self._tasks[task_id] = task
        watcher = asyncio.create_task(self._watch(task, future), name=f"task {task_id}")
        self._running[task_id] = _Running(future, watcher)
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
        if self._tasks[task_id].state != "running" and task_id in self._untold:
            self._untold.remove(task_id)
        return self._tasks[task_id]

    async def stop(self, task_id: str) -> Task:
        task = self.get(task_id)
        running = self._running.get(task.id)
        if running is None:
            raise ToolError(f"The task {task.id} has ended already ({task.state}).")
        running.end("stopped")
        await self.wait(task.id, STOP_GRACE)
        return self._tasks[task.id]

    # --- for the session ----------------------------------------------------------------------------------------------

    def take_up(self, events: Sequence[ev.Event]) -> None:
        """Take the tasks of a log over. What ran at its end is `lost`: nobody knows how it went.

        What ended after the last step began, or was lost, the model does not know yet; that alone does not wake it.
        """
        for event in events:
            if isinstance(event, ev.StepStarted):
                self._untold.clear()
            elif isinstance(event, ev.TaskChanged):
                self._tasks[event.task.id] = event.task
                if event.task.state != "running":
                    self._untold.append(event.task.id)
        for task in [task for task in self._tasks.values() if task.state == "running"]:
            self._set(task, "lost", TaskEnd(failed=True))
            self._untold.append(task.id)
        self._old = frozenset(self._tasks)

    def running(self) -> Sequence[Task]:
        return [self._tasks[task_id] for task_id in self._running]

    def commands(self) -> Sequence[str]:
        """The ids of the commands that run now."""
        return [task.id for task in self.running() if task.kind == "command"]

    def take_ended(self) -> Sequence[Task]:
        """The tasks that have ended and that the model does not know of yet."""
        ended, self._untold = [self._tasks[task_id] for task_id in self._untold], []
        return ended

    @property
    def has_news(self) -> bool:
        return any(task_id not in self._old for task_id in self._untold)

    async def aclose(self) -> None:
        """Stop every task; nobody is woken any more."""
        self._closing = True
        for running in self._running.values():
            running.end("stopped")
        if watchers := [running.watcher for running in self._running.values()]:
            await asyncio.wait(watchers, timeout=STOP_GRACE)

    # ------------------------------------------------------------------------------------------------------------------

    async def _watch(self, task: Task, work: asyncio.Future[TaskEnd]) -> None:
        done, _ = await asyncio.wait([work], timeout=task.limit)
        running = self._running[task.id]
        if not done:
            running.end("timed_out")
            await asyncio.wait([work], timeout=STOP_GRACE)
        del self._running[task.id]
        self._untold.append(task.id)
        self._set(task, *_outcome(work, running.reason))
        if not self._waited.get(task.id) and not self._closing:
            self._wake()

    def _set(self, task: Task, state: TaskState, end: TaskEnd) -> None:
        changed = Task(
            task.id, task.kind, task.title, task.call_id, task.output, task.started, task.limit, state,
            round(time.time(), 3), end.exit_code, end.report,
        )  # fmt: skip
        self._tasks[task.id] = changed
        with contextlib.suppress(KimiError):  # a log that cannot be written: told already
            self._emit(ev.TaskChanged(changed))


def _outcome(work: asyncio.Future[TaskEnd], reason: TaskState | None) -> tuple[TaskState, TaskEnd]:
    """How it went. Work that was cancelled may still have said something."""
    if not work.done() or work.cancelled():
        return reason or "stopped", TaskEnd(failed=True)
    if (error := work.exception()) is not None:
        text = error.full if isinstance(error, KimiError) else f"{type(error).__name__}: {error}"
        return reason or "failed", TaskEnd(True, None, text)
    end = work.result()
    return reason or ("failed" if end.failed else "done"), end


def told_end(task: Task) -> str:
    """What the model is told of a task that has ended."""
    seconds = max(0.0, task.ended - task.started)
    text = f"[The background task {task.id} has ended: {how_it_went(task)}, after {seconds:.0f} s]\n{task.title[:300]}"
    said = plain(task.report)[:REPORT_LIMIT] or last_lines(Path(task.output))
    return f"{text}\n<output>\n{said}\n</output>\n[The whole is in {task.output}]" if said else text
