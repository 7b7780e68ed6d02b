"""A process on this machine, run to its end: output as it comes, killed with everything it started."""

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kimi_agent.core.access import NO_MORE, Access
from kimi_agent.core.environment import child_environment
from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import Exit
from kimi_agent.processes.family import MARK, kill_family, new_mark, signal_family
from kimi_agent.processes.watcher import watcher
from kimi_agent.workspaces.spawn import BOX_FAILED, BoxError, NotStarted, Room, Spawned, spawn

_CHUNK = 1 << 16  # bytes per read: what a pipe holds
_DRAIN_S = 0.2  # after the process's own exit: time for what it started to write its last words and let go of the pipe
_TIMEOUT_GRACE_S = 1.0  # between SIGTERM and SIGKILL, when the deadline passed
_CANCEL_GRACE_S = 0.1  # the same, when a person waits for the interrupt
_DROPPED = 64 << 20  # bytes that a process may write after its command has ended; nobody reads them
_REAP_S = 1.0  # a process stuck in the kernel outlives SIGKILL: it is not waited for longer than this


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    on_output: Callable[[bytes], None],
    stdin: bytes = b"",
    room: Room | None = None,
    access: Access = NO_MORE,
    passed: Sequence[str] = (),
    descriptors: Sequence[int] = (),
    outer: str = "",
) -> Exit:
    """Run `argv` in its own session with `stdin` on its stdin; stdout and stderr go, merged, to `on_output` as they come.

    `outer` is a mark (see processes/family.py) whose bearers are ended together, by default that of the program.
    `room` is the box that it runs in, with what `access` adds; None: it runs in none. A box that cannot be made is told as
    output and the code 125: the command has not run then.

    Returns within `_DRAIN_S` of the process's own exit, whoever still holds the pipe then; that one goes on running until
    this program ends, and what it writes is dropped. On timeout (seconds), on cancellation and when `on_output` raises,
    the process and all it started get SIGTERM and, after a short grace, SIGKILL. `env` is added to what
    `child_environment` leaves of this process's, with what the person has `passed` by name. A process that died of a signal
    by itself has the code 128 + signal, as in a shell.

    Raises WorkspaceError when the process cannot be started.
    """
    try:
        given = child_environment(env, passed)
        child = await _start(
            argv, cwd, given, on_output, stdin, room, access, descriptors, new_mark(outer or watcher().mark)
        )
    except BoxError as error:
        on_output(f"kimi: the box could not be made, so the command was not run: {error}\n".encode())
        return Exit(BOX_FAILED)
    try:
        try:
            async with asyncio.timeout(timeout):
                await child.settled.wait()
        except TimeoutError:
            await child.stop(_TIMEOUT_GRACE_S)
            return Exit(None, timed_out=True)
        if isinstance(child.failure, NotStarted):
            raise _not_started(child.failure, argv, cwd)
        if child.failure is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await child.closed.wait()
        if child.failure is not None:
            await child.stop(_CANCEL_GRACE_S)
            raise child.failure
        if not child.closed.is_set():
            child.drop_output()
            return child.ended(left_running=True)
        return child.ended()
    except asyncio.CancelledError:
        await child.stop(_CANCEL_GRACE_S)
        raise
    finally:
        child.release()


async def _start(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    on_output: Callable[[bytes], None],
    stdin: bytes,
    room: Room | None,
    access: Access,
    kept: Sequence[int],
    mark: str,
) -> "_Child":
    pipe, write_end = os.pipe()
    try:
        with _input(stdin) as given:
            spawned = await spawn(argv, cwd, {**env, MARK: mark}, given, write_end, room, access, kept)
    except BaseException as error:
        os.close(pipe)
        if isinstance(error, OSError | ValueError):
            raise _not_started(error, argv, cwd) from error
        raise
    finally:
        os.close(write_end)
    return _Child(spawned, mark, pipe, on_output)


class _Child:
    """A started process, watched from the event loop: `exited`, `closed` (end of output), `settled` (exit or `failure`).

    asyncio's own subprocess waits for the end of the output before it reports the exit, so pipe and exit are watched here.
    """

    def __init__(self, spawned: Spawned, mark: str, pipe: int, on_output: Callable[[bytes], None]) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self.settled = asyncio.Event()
        self.code: int | None = None
        self.failure: Exception | None = None
        self._on_output = on_output
        self._dropped: int | None = None  # bytes since nobody reads the output any more
        self._loop = asyncio.get_running_loop()
        self._spawned, self._mark, self._pipe = spawned, mark, pipe
        self._watched = True
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._pipe, self._read)
        self._loop.add_reader(spawned.news, self._hear)

    async def stop(self, grace_s: float) -> None:
        """End the whole family. Cancelling this skips the grace, never the kill."""
        known: dict[int, bytes] = {}
        try:
            known = signal_family(self._spawned.pid, self._mark, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.exited.wait()
                    await self.closed.wait()
        finally:
            kill_family(self._spawned.pid, self._mark, known)
        with suppress(TimeoutError):
            async with asyncio.timeout(_REAP_S):
                await self.exited.wait()

    def ended(self, *, left_running: bool = False) -> Exit:
        said = self._spawned
        return Exit(self.code, left_running=left_running, refused=tuple(said.refused), read_only=said.read_only)

    def drop_output(self) -> None:
        """Go on reading, so that what runs on is not ended by its first word, until there has been a flood."""
        self._dropped = 0
        self._on_output = self._drop

    def release(self) -> None:
        if self._dropped is None:
            self._close_pipe()
        self._unwatch()

    def _drop(self, data: bytes) -> None:
        self._dropped = (self._dropped or 0) + len(data)
        if self._dropped > _DROPPED:
            self._close_pipe()

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._close_pipe()
            return
        try:
            self._on_output(data)
        except Exception as error:
            self.failure = error
            self._close_pipe()
            self.settled.set()

    def _hear(self) -> None:
        try:
            code = self._spawned.collect()
        except NotStarted as error:
            self.failure, code = error, None
        else:
            if code is None:  # more is to come
                return
        self._unwatch()
        watcher().ended(self._spawned.pid)
        self.code = code
        self.exited.set()
        self.settled.set()

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
            self.closed.set()

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self._loop.remove_reader(self._spawned.news)
            self._spawned.close()


@contextmanager
def _input(data: bytes) -> Iterator[int]:
    """What a child reads: a file without a name, so that no pipe has to be fed while it runs."""
    if not data:
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield nothing
        finally:
            os.close(nothing)
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file.fileno()


def _not_started(error: Exception, argv: Sequence[str], cwd: Path) -> WorkspaceError:
    if not cwd.is_dir():
        return WorkspaceError(f"Cannot run in {cwd}: there is no such folder.")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return WorkspaceError(f"Cannot run {argv[0]}: {reason}")
