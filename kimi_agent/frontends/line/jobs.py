"""What line mode runs: one turn, command or shell command at a time; what is given meanwhile waits."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

CLOSE_S = 2.0
"""How long a job that was told to end may take."""


class Jobs:
    """`changed` is called when something begins or ends, also when it failed: then `failure` holds our own bug."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._job: asyncio.Task[None] | None = None
        self._aside: set[asyncio.Task[None]] = set()
        self._waiting: list[tuple[str, Work]] = []
        self.failure: BaseException | None = None

    @property
    def busy(self) -> bool:
        return self._job is not None

    @property
    def waiting(self) -> list[str]:
        """What the person typed for the jobs that wait."""
        return [text for text, _ in self._waiting if text]

    def start(self, text: str, work: Work) -> None:
        """Run `work` now or when its turn comes; `text` is what the person typed, if they did."""
        if self._job is not None:
            self._waiting.append((text, work))
        else:
            self._job = asyncio.create_task(work())
            self._job.add_done_callback(self._done)
        self._changed()

    def start_aside(self, work: Work) -> None:
        """Run beside the job: a command that may."""
        task = asyncio.create_task(work())
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)
        task.add_done_callback(self._note_failure)

    def take_waiting(self) -> list[str]:
        """Drop what waits; answers the texts."""
        texts, self._waiting = self.waiting, []
        return texts

    def cancel(self) -> bool:
        return self._job is not None and self._job.cancel()

    async def close(self) -> None:
        """Wait for the job, which was told to end, and end it otherwise."""
        self._waiting.clear()
        if tasks := [task for task in (self._job, *self._aside) if task is not None]:
            _, pending = await asyncio.wait(tasks, timeout=CLOSE_S)
            for task in pending:
                task.cancel()

    def _done(self, job: "asyncio.Task[None]") -> None:
        self._job = None
        self._note_failure(job)
        if self._waiting and self.failure is None:
            self.start(*self._waiting.pop(0))
        else:
            self._changed()

    def _note_failure(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()):
            self.failure = error
            self._changed()
