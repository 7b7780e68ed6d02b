"""Everything that one command started, also what left its process group, found so that it can be killed.

A process belongs to the family when it is in the leader's group or session, descends from the leader, or carries the
command's mark in its environment: the mark survives setsid, nohup and a double fork, which cut every other tie. Where there
is no /proc (macOS) only the group is reached.
"""

import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

MARK = "KIMI_RUN"
"""Name of the mark. Its value is `:program:command`, appended to an inherited one, so that an outer agent finds what an inner
one ran, and the mark of the program alone finds all its commands."""

_PROC = Path("/proc")
_NOBODY = -1  # is no leader
_ROUNDS = 5  # a sweep can miss what is being forked while it looks; each round finds the children of the last


def mark_of(outer: str, name: str) -> str:
    return f"{outer}:{name}"


def new_mark(program: str) -> str:
    """A mark for one command of the program with the mark `program`."""
    return mark_of(program, secrets.token_hex(8))


def signal_family(leader: int, mark: str, number: signal.Signals) -> dict[int, bytes]:
    """Send the signal to every member once; answers who they were, for `kill_family`.

    The leader must not have been reaped yet, or have left members behind. They are found before the first one is ended, which
    may be all that ties another to the family.
    """
    members = _members(leader, mark)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    for pid in members:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
    return members


def kill_family(leader: int, mark: str, known: Mapping[int, bytes] = MappingProxyType({})) -> None:
    """SIGKILL every member, again until none is left (or `_ROUNDS` are over: a process stuck in the kernel stays).

    `known` are members that were found before: what has cut its ties since, and still lives, belongs to them.
    """
    members = _members(leader, mark, known)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    for _ in range(_ROUNDS):
        if not members:
            return
        for pid in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        members = _members(leader, mark, known)


def kill_marked(mark: str) -> None:
    """SIGKILL everything whose mark begins with `mark`, whatever has started it, as `kill_family`."""
    for _ in range(_ROUNDS):
        members = _members(_NOBODY, mark)
        if not members:
            return
        for pid in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _members(leader: int, mark: str, known: Mapping[int, bytes] = MappingProxyType({})) -> dict[int, bytes]:
    """Living members (zombies left out) and when each was started, by one look at /proc."""
    parents: dict[int, int] = {}
    started: dict[int, bytes] = {}
    found = {leader}
    try:
        pids = [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208 - names are all it takes
    except OSError:
        return {}
    for pid in pids:
        try:
            # The program's name stands in parentheses and may hold anything, so fields are counted from the last one.
            fields = _read(f"{_PROC}/{pid}/stat").rpartition(b")")[2].split()
        except OSError:
            continue
        state, parent, group, session = fields[0], *map(int, fields[1:4])
        if state not in (b"Z", b"X"):
            parents[pid], started[pid] = parent, fields[19]
            if leader in (group, session) or known.get(pid) == fields[19] or _is_marked(pid, mark):
                found.add(pid)
    while children := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= children
    return {pid: started[pid] for pid in (found & parents.keys()) - {os.getpid()}}


def _is_marked(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in _read(f"{_PROC}/{pid}/environ")
    except OSError:
        return False  # it has just ended, or belongs to another user


def _read(path: str) -> bytes:
    """A look reads two files of every process of the machine: half the time of one would be that of `Path`."""
    file, found = os.open(path, os.O_RDONLY | os.O_CLOEXEC), b""
    try:
        while data := os.read(file, 1 << 16):
            found += data
    finally:
        os.close(file)
    return found
