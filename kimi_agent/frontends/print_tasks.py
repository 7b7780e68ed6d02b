"""Background tasks at the end of a headless run: those with a limit are waited for, the others end with it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kimi_agent.core import event as ev
from kimi_agent.core.errors import ToolError
from kimi_agent.core.task import Task
from kimi_agent.frontends.common.describe import one_line

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session


class TaskWait:
    """`tell` gets notices about the waiting, which are for the person alone. `ceiling` bounds all waiting, in seconds."""

    def __init__(self, session: "Session", tell: Callable[[ev.Notice], None], ceiling: float) -> None:
        self._session, self._tell, self._ceiling = session, tell, ceiling
        self._changed = asyncio.Event()
        self._waits = self._given_up = False

    async def next(self) -> bool:
        """Wait until the session has something to go on with. False: nothing more is waited for."""
        began, told = time.monotonic(), ""
        while not self._session.has_news:
            waited = [task for task in self._session.tasks.running() if task.limit is not None]
            if not waited or self._given_up or self._ceiling <= 0:
                return False
            if (names := named(waited)) != told:
                self._tell(ev.Notice("info", f"waiting for {names}"))
                told = names
            await self._change()
            self._ceiling, began = self._ceiling - (time.monotonic() - began), time.monotonic()
        return True

    async def _change(self) -> None:
        self._changed.clear()
        self._waits = True
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ceiling):
                    await self._changed.wait()
        finally:
            self._waits = False

    def wake(self) -> None:
        self._changed.set()

    def give_up(self) -> bool:
        """Wait no more. False when nobody waits."""
        if not self._waits:
            return False
        self._given_up = True
        self._changed.set()
        return True

    async def end(self) -> None:
        """Stop what still runs, and name it."""
        running = self._session.tasks.running()
        if running:
            self._tell(ev.Notice("warning", f"ended with this run: {named(running)}"))
        for task in running:
            with contextlib.suppress(ToolError):  # it has just ended by itself
                await self._session.tasks.stop(task.id)


def named(tasks: Sequence[Task]) -> str:
    return ", ".join(f"{task.id} ({one_line(task.title, 60)})" for task in tasks)
