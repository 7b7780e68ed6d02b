"""What a session's calls change in files: saved before, told in the log after, so that it can be taken back.

Between two scans a change is the agent's when one of its calls acted, nobody's who is known when only background tasks ran, and
else somebody else's, which is no business of ours. Calls that name their files are exact: only these are looked at.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from kimi_agent.core import event as ev
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import KimiError, SnapshotError
from kimi_agent.core.snapshot import FileChange, FileState, Snapshots, same

By: TypeAlias = Literal["calls", "tasks", "others", "interrupted", "undo", "redo"]
FRESH_S = 0.2
"""A scan that began so recently (seconds) is not made again for the next call."""
NAMED = 20
"""Paths that an event names."""
SAVING = "Saving the files as they are now"
"""How all that is told of a call begins that waits for its files to be saved: it is no output of the call."""
FIRST_LOOK = f"{SAVING}, so that they can come back."
_HARMLESS = ("read", "fetch", "stop")


class Window(Struct):
    """The time in which one call acts. `before` is what its files were, None: all that a scan finds counts."""

    call_id: str
    before: dict[str, FileState | None] | None = None


class FileHistory:
    """`make` makes what saves files, `emit` shows and logs an event, `running` names the background commands that run now.

    Files in the folder `private`, which is kimi's own, are not saved.
    """

    def __init__(
        self,
        make: Callable[[], Snapshots] | None,
        emit: Callable[[ev.Event], None],
        running: Callable[[], Sequence[str]],
        private: str,
    ) -> None:
        self._make, self._emit, self._running, self._private = make, emit, running, private
        self._made: Snapshots | None = None
        self._lock = asyncio.Lock()
        self._jobs: set[asyncio.Task[None]] = set()
        self._warming: asyncio.Task[None] | None = None  # the first scan, which nobody waits for who names files
        self._looking = False  # it goes on
        self._said = FIRST_LOOK  # how far it is
        self._open = 0  # windows without a list of files
        self._acting: By | None = None  # who has acted since the last scan
        self._tasks: tuple[str, ...] = ()  # that have run since then
        self._scanned: float = float("-inf")
        self._fresh = False  # nobody but calls has had the time to change something since the last scan
        self._recovered = False
        self._told: set[str] = set()
        self._written: dict[str, FileState | None] = {}  # by exact calls since the last scan
        self._tell: Callable[[str], None] = _nothing  # of the call that waits for a scan

    @property
    def snapshots(self) -> Snapshots | None:
        """None where nothing is saved. Made when it is first asked for."""
        if self._made is None and self._make is not None:
            self._made = self._make()
        return self._made

    # --- around a call ------------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Save the workspace for the first time, beside what goes on. Later it costs nothing."""
        if self.snapshots is not None and not self.snapshots.why_not_whole and self._scanned < 0 and not self._jobs:
            self._warming = self._start(self._first_scan())

    async def before(self, call_id: str, effects: Sequence[Effect], tell: Callable[[str], None]) -> Window | None:
        """Save what the call may change; None when that is nothing. What goes wrong is told once, and keeps no call back."""
        if self.snapshots is None or all(effect.kind in _HARMLESS for effect in effects):
            return None
        targets = [effect.target for effect in effects if effect.kind == "write"]
        exact = all(effect.kind in ("write", *_HARMLESS) for effect in effects)
        if self._looking and not exact:
            tell(f"{self._said}\n")
        if not exact:
            self._tell = tell
        window = None
        with self._telling():
            async with self._turn(exact):
                await self._recover()
                window = await (self._look(call_id, targets) if exact else self._scan_before(call_id))
        return window

    def after(self, window: Window) -> None:
        """The call has ended, however it went. What it changed is found out beside what goes on."""
        if window.before is None:
            self._open -= 1
            self._tasks = tuple(dict.fromkeys((*self._tasks, *self._running())))
        self._start(self._end(window))

    def task_ended(self) -> None:
        """A command in the background has ended: what it wrote is its own."""
        if self._acting is not None:
            self._start(self._scan_locked())

    async def quiet(self) -> None:
        """The turn is over: wait until it is found out what its calls changed."""
        while jobs := self._jobs - {self._warming}:
            await asyncio.wait(jobs)
        self._fresh = False

    async def settle(self) -> None:
        """Wait until the log has all that has changed, also what an earlier life of the session left open."""
        await self.quiet()
        with self._telling():
            async with self._lock:
                await self._recover()
                if self._acting is not None:  # background tasks run
                    await self._scan()

    async def aclose(self, patience_s: float = 5.0) -> None:
        """Wait a moment for what is being found out, then end it."""
        if jobs := self._jobs - {self._warming}:
            await asyncio.wait(jobs, timeout=patience_s)
        if self._made is not None:
            self._made.close()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=1.0)

    def _turn(self, exact: bool) -> contextlib.AbstractAsyncContextManager[Any]:
        """One at a time; but who names files does not wait for the first look at all of them."""
        return contextlib.nullcontext() if exact and self._looking else self._lock

    # --- exact --------------------------------------------------------------------------------------------------------

    async def _look(self, call_id: str, targets: Sequence[str]) -> Window | None:
        assert self.snapshots is not None
        targets = [target for target in targets if not target.startswith(f"{self._private}/")]
        if not targets:
            return None
        paths = [*dict.fromkeys((*targets, *(parent for target in targets for parent in _missing_parents(target))))]
        states = await self.snapshots.look(paths)
        before = dict(zip(paths, states, strict=True))
        record = await self.snapshots.save([FileChange(path, state, None) for path, state in before.items()])
        await self.snapshots.begin(call_id, record)
        return Window(call_id, before)

    async def _compare(self, before: dict[str, FileState | None], by: By) -> None:
        assert self.snapshots is not None
        states = await self.snapshots.look(list(before))
        changes = [FileChange(path, before[path], now) for path, now in zip(before, states, strict=True)]
        self._written |= {change.path: change.after for change in changes}
        await self.tell([change for change in changes if not same(change.before, change.after)], by)

    # --- scans --------------------------------------------------------------------------------------------------------

    async def _scan_before(self, call_id: str) -> Window:
        assert self.snapshots is not None
        if self.snapshots.why_not_whole:
            raise SnapshotError(self.snapshots.why_not_whole)
        await self.snapshots.begin(call_id, "")
        if not self._fresh or time.monotonic() - self._scanned > FRESH_S or self._acting is not None:
            await self._scan()
        self._open += 1
        self._acting = "calls"
        return Window(call_id)

    async def _scan(self) -> None:
        """Raises SnapshotError."""
        assert self.snapshots is not None
        began, before, by, tasks = time.monotonic(), self._scanned, self._acting, self._tasks
        written, self._written = self._written, {}  # who names files may write while this goes on
        self._fresh = True  # until the turn is over, be it while this goes on
        try:
            found = await self.snapshots.scan(self._progress)
        except SnapshotError:
            self._written, self._fresh = written | self._written, False
            raise
        # what exact calls wrote is told already
        changes = [FileChange(c.path, written.get(c.path, c.before), c.after) for c in found]
        self._scanned = began
        self._tasks = tuple(self._running())
        self._acting = "calls" if self._open else "tasks" if self._tasks else None
        if by is not None:
            theirs, others = await self.snapshots.others(before)
            mine = [c for c in changes if not same(c.before, c.after) and c.path not in theirs]
            await self.tell(mine, "others" if others and by == "calls" else by, tasks if by == "tasks" else ())
        if left_out := await self.snapshots.news():
            more = f" and {len(left_out) - NAMED} more" if len(left_out) > NAMED else ""
            text = (
                f"Not saved for /undo: {', '.join(left_out[:NAMED])}{more}. `[snapshots]` in config.toml sets what is."
            )
            self._emit(ev.Notice("info", text))

    def _progress(self, text: str) -> None:
        self._said = text
        self._tell(f"{text}\n")

    async def _first_scan(self) -> None:
        async with self._lock:
            await self._recover()
        async with self._lock:
            if self._scanned < 0:
                self._looking = True
                try:
                    await self._scan()
                finally:
                    self._looking = False

    async def _scan_locked(self) -> None:
        async with self._lock:
            await self._scan()

    async def _end(self, window: Window) -> None:
        assert self.snapshots is not None
        async with self._turn(window.before is not None):
            if window.before is None:
                await self._scan()
            else:
                await self._compare(window.before, "calls")
            await self.snapshots.end(window.call_id)

    async def _recover(self) -> None:
        """Find out what calls changed in which the session was killed; who did it is not known for sure."""
        if self._recovered or self.snapshots is None:
            return
        self._recovered = True
        unfinished = await self.snapshots.unfinished()
        for record in filter(None, unfinished.values()):
            before = {change.path: change.before for change in await self.snapshots.load(record)}
            await self._compare(before, "interrupted")
        if "" in unfinished.values() and not self.snapshots.why_not_whole:
            self._acting = "interrupted"
            await self._scan()
        for call_id in unfinished:
            await self.snapshots.end(call_id)

    # --- the log ------------------------------------------------------------------------------------------------------

    async def tell(self, changes: Sequence[FileChange], by: By, tasks: Sequence[str] = ()) -> ev.FilesChanged | None:
        """Log a list of changes. Raises SnapshotError, SessionError."""
        if not changes or self.snapshots is None:
            return None
        record = await self.snapshots.save(changes)
        paths = [change.path for change in changes if not is_folder(change)] or [change.path for change in changes]
        event = ev.FilesChanged(by, len(paths), record, tuple(paths[:NAMED]), tuple(tasks))
        self._emit(event)
        return event

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def run() -> None:
            with self._telling():
                await work

        job = asyncio.create_task(run(), name="snapshot")
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """What goes wrong is told once."""
        try:
            yield
        except SnapshotError as error:
            why = self.snapshots.why_not_whole if self.snapshots is not None else ""
            text = why or f"The files are not saved: {error.full} What changes may not come back with /undo."
            if "closing" not in text and text not in self._told:
                self._told.add(text)
                with contextlib.suppress(KimiError):
                    self._emit(ev.Notice("warning", text))
        except KimiError:  # the log cannot be written: told already
            pass


def _nothing(text: str) -> None:
    pass


def is_folder(change: FileChange) -> bool:
    state = change.after or change.before
    return state is not None and state.kind == "folder"


def _missing_parents(path: str) -> list[str]:
    missing = []
    while (path := os.path.dirname(path)) and path != "/" and not os.path.lexists(path):  # noqa: PTH120
        missing.append(path)
    return missing
