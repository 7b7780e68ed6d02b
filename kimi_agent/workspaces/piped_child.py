"""A process with pipes at its three ends that lives as long as it is wanted: an MCP server on stdio."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kimi_agent.core.access import Access, box_words
from kimi_agent.core.environment import child_environment
from kimi_agent.processes.family import MARK, kill_family, new_mark, signal_family
from kimi_agent.processes.watcher import watcher
from kimi_agent.workspaces.spawn import Room, Spawned, spawn

_TERM_GRACE_S = 1.0  # between SIGTERM and SIGKILL
_KILL_GRACE_S = 1.0  # a process stuck in the kernel outlives SIGKILL: it is not waited for longer than this


async def start_child(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    access: Access,
    room: Room | None,
    passed: Sequence[str] = (),
) -> "PipedChild":
    """See `core.child.StartChild`. `room` is the box of the session, `passed` names variables that the person passes on."""
    mark = new_mark(watcher().mark)
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    ours_err, theirs_err = os.pipe()
    ours = (ours_in, ours_out, ours_err)
    try:
        own = {**child_environment(env, passed), MARK: mark}
        spawned = await spawn(argv, cwd, own, theirs_in, theirs_out, room, access, errors=theirs_err)
    except BaseException:
        for end in ours:
            os.close(end)
        raise
    finally:
        for end in (theirs_in, theirs_out, theirs_err):
            os.close(end)
    for end in ours:
        os.set_blocking(end, False)
    return PipedChild(spawned, mark, ours, _words(room, access, read_only=spawned.read_only))


def _words(room: Room | None, access: Access, *, read_only: bool) -> str:
    state = room.box.state if room is not None else None
    if state is None or access.outside:
        return "no box"
    words = box_words(state, read_only=read_only)
    return words.replace("net off", "net open") if access.net else words


class PipedChild:
    """See `core.child.Child`."""

    def __init__(self, spawned: Spawned, mark: str, ends: tuple[int, int, int], box: str) -> None:
        self.pid, self.box = spawned.pid, box
        self.stdin, self.stdout, self.stderr = ends
        self._spawned, self._mark = spawned, mark
        self._code: int | None = None
        self._failure: OSError | None = None
        self._over = asyncio.Event()
        self._released = False
        asyncio.get_running_loop().add_reader(spawned.news, self._heard)

    def _heard(self) -> None:
        try:
            self._code = self._spawned.collect()
        except OSError as error:
            self._failure = error
        if self._code is not None or self._failure is not None:
            asyncio.get_running_loop().remove_reader(self._spawned.news)
            self._over.set()

    async def wait(self) -> int:
        await self._over.wait()
        if self._failure is not None:
            raise self._failure
        assert self._code is not None
        return self._code

    async def end(self, grace: float) -> None:
        if self._released:
            return
        self._released = True
        try:
            os.close(self.stdin)
            known: Mapping[int, bytes] = {}
            if not await self._ends_within(grace):
                known = await asyncio.to_thread(signal_family, self.pid, self._mark, signal.SIGTERM)
                await self._ends_within(_TERM_GRACE_S)
            await asyncio.to_thread(kill_family, self.pid, self._mark, known)  # and what it has left running
            await self._ends_within(_KILL_GRACE_S)
        finally:
            watcher().ended(self.pid)
            if not self._over.is_set():
                asyncio.get_running_loop().remove_reader(self._spawned.news)
            self._spawned.close()
            for end in (self.stdout, self.stderr):
                os.close(end)

    async def _ends_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()
        return self._over.is_set()
