"""The one place where child processes of the agent begin: in the session's box, or, where it has none, directly."""

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from kimi_agent.core.access import Access, BoxError
from kimi_agent.processes.family import MARK, kill_family
from kimi_agent.processes.watcher import watcher
from kimi_agent.workspaces.sandbox.box import Box, Placed
from kimi_agent.workspaces.sandbox.child import BOX_FAILED
from kimi_agent.workspaces.sandbox.policy import Folders

__all__ = ["BOX_FAILED", "BoxError", "NotStarted", "Room", "Spawned", "room_of", "spawn"]
DESCRIPTORS = "KIMI_DESCRIPTORS"
_KILLED = 137  # 128 + SIGKILL


class Room(Struct, frozen=True):
    """The box as one session has it. While it `is_read_only`, commands write nothing but temporary files."""

    box: Box
    folders: Folders
    is_read_only: Callable[[], bool] = lambda: False


def room_of(
    box: Box | None,
    root: Path,
    extra_roots: Sequence[Path] = (),
    scratch: Path | None = None,
    is_read_only: Callable[[], bool] = lambda: False,
) -> Room | None:
    """The box as a session has it that works in `root`; None where there is none."""
    if box is None:
        return None
    extra = tuple(os.path.realpath(path) for path in extra_roots)
    folders = Folders(os.path.realpath(root), extra, os.path.realpath(scratch) if scratch else "")
    return Room(box, folders, is_read_only)


class NotStarted(OSError):
    """The command could not be run: no such program, no such folder."""


class Spawned(Protocol):
    """A process that runs. `pid` leads its session and all that it starts; `news` is readable when `collect` has something.

    `refused` grows by what it asked of the net in vain; `read_only`: its box lets it write nothing but temporary files.
    """

    pid: int
    news: int
    refused: Sequence[str]
    read_only: bool

    def collect(self) -> int | None:
        """Its exit code, 128 + signal if one killed it; None while there is none. Raises NotStarted."""
        ...

    def close(self) -> None:
        """Look at `news` no more."""
        ...


async def spawn(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    stdin: int,
    output: int,
    room: Room | None,
    access: Access,
    kept: Sequence[int] = (),
    errors: int | None = None,
) -> Spawned:
    """Start `argv` with just this environment, stdout and stderr both to `output`. The descriptors stay the caller's.

    `errors` is where stderr goes instead; `kept` are more descriptors for it, whose numbers there are in `DESCRIPTORS`.

    The watcher knows of it then. Raises BoxError when the box cannot be made; OSError and ValueError when the process cannot be
    started.
    """
    if room is None or access.outside:
        return _Direct(argv, cwd, env, stdin, output, kept, errors)
    if (await asyncio.to_thread(room.box.prove)).rung == "R0":
        return _Direct(argv, cwd, env, stdin, output, kept, errors)
    read_only = room.is_read_only()
    placed = await asyncio.to_thread(room.box.place, room.folders, access, read_only=read_only)
    way = await room.box.way_out(placed, access)
    given = (stdin, output, output if errors is None else errors, *kept)
    ends = [os.dup(end) for end in given]  # the thread's own, also when nobody waits for it any more
    own = {**env, **way.variables, **_named(range(3, 3 + len(kept)))}
    work = asyncio.to_thread(_start_boxed, room.box, placed, argv, own, cwd, ends)
    starting = asyncio.ensure_future(work)
    try:
        pid, report = await asyncio.shield(starting)
    except BaseException as error:
        room.box.close_way(placed, way)
        if isinstance(error, asyncio.CancelledError):
            starting.add_done_callback(lambda done: _end_unwanted(done, env))
        raise
    return _Boxed(pid, report, way.refused, read_only, lambda: room.box.close_way(placed, way))


def _named(kept: Sequence[int]) -> dict[str, str]:
    return {DESCRIPTORS: " ".join(map(str, kept))} if kept else {}


def heard_exit(heard: bytes, *, ended: bool) -> int | None:
    """The exit code in what a supervisor has reported; None while there is none. Raises NotStarted."""
    line, newline, _ = heard.partition(b"\n")
    word, _, number = line.partition(b" ")
    if not newline:
        return _KILLED if ended else None
    if word == b"errno":
        raise NotStarted(int(number), os.strerror(int(number)))
    return int(number)


def _start_boxed(
    box: Box, placed: Placed, argv: Sequence[str], env: Mapping[str, str], cwd: Path, ends: Sequence[int]
) -> tuple[int, int]:
    try:
        pid, report = box.start(placed, argv, env, cwd, ends[0], ends[1], ends[2], kept=ends[3:])
        watcher().started(pid)  # here, and not when the loop comes to it: this program may be killed before
        return pid, report
    finally:
        for end in ends:
            os.close(end)


def _end_unwanted(done: "asyncio.Future[tuple[int, int]]", env: Mapping[str, str]) -> None:
    if not done.cancelled() and done.exception() is None:
        pid, report = done.result()
        kill_family(pid, env[MARK])
        os.close(report)


class _Direct:
    """A process in no box, watched by a pidfd, or by a thread where there is none."""

    def __init__(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        stdin: int,
        output: int,
        kept: Sequence[int],
        errors: int | None,
    ) -> None:
        self._process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**env, **_named(kept)},
            pass_fds=kept,
            stdin=stdin,
            stdout=output,
            stderr=output if errors is None else errors,
            start_new_session=True,
        )
        self.pid = self._process.pid
        watcher().started(self.pid)  # at once: this program may be killed at any time
        self.refused: Sequence[str] = ()
        self.read_only = False
        try:
            self.news: int = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            self.news, end = os.pipe()
            threading.Thread(target=self._wait, args=(end,), daemon=True).start()

    def _wait(self, end: int) -> None:
        self._process.wait()
        os.close(end)

    def collect(self) -> int:
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        os.close(self.news)


class _Boxed:
    """A process in a box, whose supervisor reports: see `sandbox/child.py`."""

    def __init__(
        self, pid: int, report: int, refused: Sequence[str], read_only: bool, close_way: Callable[[], None]
    ) -> None:
        self.pid, self.news, self.refused, self.read_only = pid, report, refused, read_only
        self._heard, self._close_way = b"", close_way

    def collect(self) -> int | None:
        piece = os.read(self.news, 4096)
        self._heard += piece
        return heard_exit(self._heard, ended=not piece)

    def close(self) -> None:
        self._close_way()
        with suppress(OSError):
            os.close(self.news)
