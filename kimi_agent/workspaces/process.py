"""A process on this machine, run to its end: output as it comes, killed with everything it started."""

import asyncio
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.redact import is_secret_name
from kimi_agent.core.workspace import Exit
from kimi_agent.processes.family import MARK, kill_family, new_mark, signal_family
from kimi_agent.processes.watcher import watcher

_CHUNK = 1 << 16  # bytes per read: what a pipe holds
_DRAIN_S = 0.2  # after the process's own exit: time for what it started to write its last words and let go of the pipe
_TIMEOUT_GRACE_S = 1.0  # between SIGTERM and SIGKILL, when the deadline passed
_CANCEL_GRACE_S = 0.1  # the same, when a person waits for the interrupt
_DROPPED = 64 << 20  # bytes that a process may write after its command has ended; nobody reads them
_REAP_S = 1.0  # a process stuck in the kernel outlives SIGKILL: it is not waited for longer than this

PASSED = "KIMI_PASS_ENV"
"""Names, with commas, of variables that commands get although they look like secrets."""


async def run_process(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    on_output: Callable[[bytes], None],
    stdin: bytes = b"",
) -> Exit:
    """Run `argv` in its own session with `stdin` on its stdin; stdout and stderr go, merged, to `on_output` as they come.

    Returns within `_DRAIN_S` of the process's own exit, whoever still holds the pipe then; that one goes on running until
    this program ends, and what it writes is dropped. On timeout (seconds), on cancellation and when `on_output` raises,
    the process and all it started get SIGTERM and, after a short grace, SIGKILL. `env` is added to this process's
    environment without its secrets. A process that died of a signal by itself has the code 128 + signal, as in a shell.

    Raises WorkspaceError when the process cannot be started.
    """
    child = _Child(argv, cwd, env, on_output, stdin)
    try:
        try:
            async with asyncio.timeout(timeout):
                await child.settled.wait()
        except TimeoutError:
            await child.stop(_TIMEOUT_GRACE_S)
            return Exit(None, timed_out=True)
        if child.failure is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    await child.closed.wait()
        if child.failure is not None:
            await child.stop(_CANCEL_GRACE_S)
            raise child.failure
        if not child.closed.is_set():
            child.drop_output()
            return Exit(child.code, left_running=True)
        return Exit(child.code)
    except asyncio.CancelledError:
        await child.stop(_CANCEL_GRACE_S)
        raise
    finally:
        child.release()


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without secrets, except those that the user passes by name, and with `extra`."""
    passed = frozenset(os.environ.get(PASSED, "").replace(",", " ").split())
    kept = {name: value for name, value in os.environ.items() if name in passed or not is_secret_name(name)}
    return kept | dict(extra)


class _Child:
    """A started process, watched from the event loop: `exited`, `closed` (end of output), `settled` (exit or `failure`).

    asyncio's own subprocess waits for the end of the output before it reports the exit, so pipe and exit are watched here.
    """

    def __init__(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], on_output: Callable[[bytes], None], stdin: bytes
    ) -> None:
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self.settled = asyncio.Event()
        self.code: int | None = None
        self.failure: Exception | None = None
        self._on_output = on_output
        self._dropped: int | None = None  # bytes since nobody reads the output any more
        self._loop = asyncio.get_running_loop()
        self._watcher = watcher()
        self._mark = new_mark(self._watcher.mark)
        self._pipe, write_end = os.pipe()
        try:
            with _input(stdin) as given:
                self._process = subprocess.Popen(
                    list(argv),
                    cwd=cwd,
                    env=child_environment(env) | {MARK: self._mark},
                    stdin=given,
                    stdout=write_end,
                    stderr=write_end,
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            os.close(self._pipe)
            raise _not_started(error, argv, cwd) from error
        finally:
            os.close(write_end)
        self._watcher.started(self._process.pid)
        os.set_blocking(self._pipe, False)
        self._loop.add_reader(self._pipe, self._read)
        self._pidfd = self._watch()

    async def stop(self, grace_s: float) -> None:
        """End the whole family. Cancelling this skips the grace, never the kill."""
        known: dict[int, bytes] = {}
        try:
            known = signal_family(self._process.pid, self._mark, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self.exited.wait()
                    await self.closed.wait()
        finally:
            kill_family(self._process.pid, self._mark, known)
        with suppress(TimeoutError):
            async with asyncio.timeout(_REAP_S):
                await self.exited.wait()

    def drop_output(self) -> None:
        """Go on reading, so that what runs on is not ended by its first word, until there has been a flood."""
        self._dropped = 0
        self._on_output = self._drop

    def release(self) -> None:
        if self._dropped is None:
            self._close_pipe()
        self._close_pidfd()

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

    def _watch(self) -> int:
        """Have the exit noticed: by a pidfd (its number is returned), or by a thread where there is none (-1)."""
        try:
            pidfd: int = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):
            threading.Thread(target=self._wait_in_thread, daemon=True).start()
            return -1
        self._loop.add_reader(pidfd, self._reap)
        return pidfd

    def _wait_in_thread(self) -> None:
        code = self._process.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended, code)

    def _reap(self) -> None:
        self._close_pidfd()
        self._ended(self._process.wait())

    def _ended(self, code: int) -> None:
        self._watcher.ended(self._process.pid)
        self.code = code if code >= 0 else 128 - code
        self.exited.set()
        self.settled.set()

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
            self.closed.set()

    def _close_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


@contextmanager
def _input(data: bytes) -> Iterator[int | IO[bytes]]:
    """What a child reads: a file without a name, so that no pipe has to be fed while it runs."""
    if not data:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


def _not_started(error: Exception, argv: Sequence[str], cwd: Path) -> WorkspaceError:
    if not cwd.is_dir():
        return WorkspaceError(f"Cannot run in {cwd}: there is no such folder.")
    reason = error.strerror if isinstance(error, OSError) else str(error)
    return WorkspaceError(f"Cannot run {argv[0]}: {reason}")
