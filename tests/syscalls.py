"""One system call of a piece of work goes wrong: the process is killed there, the call is refused, or somebody acts just then.

The work runs in a forked child that is traced with ptrace(2), so no tool has to be installed. Only the child's first thread is
looked at, and only `NAMES`: what happens between two of them changes nothing that another process could see.
"""

import contextlib
import ctypes
import os
import platform
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

# fmt: off
NAMES = {
    "write": 1, "close": 3, "fstat": 5, "lseek": 8, "pwrite64": 18, "open": 2, "stat": 4, "lstat": 6, "writev": 20, "flock": 73,
    "fsync": 74, "fdatasync": 75, "ftruncate": 77, "rename": 82, "mkdir": 83, "link": 86, "unlink": 87, "fchmod": 91,
    "fchown": 93, "fsetxattr": 190, "flistxattr": 196, "fgetxattr": 193, "openat": 257, "mkdirat": 258, "newfstatat": 262,
    "unlinkat": 263, "renameat": 264, "linkat": 265, "fallocate": 285, "renameat2": 316, "statx": 332, "read": 0,
}
# fmt: on
_NUMBERS = {number: name for name, number in NAMES.items()}  # of x86_64
_TRACEME, _PEEK, _POKE, _CONT, _SYSCALL, _OPTIONS = 0, 3, 6, 7, 24, 0x4200
_SYSGOOD, _EXITKILL = 1, 0x100000
_RAX, _ORIG_RAX = 80, 120  # offsets of registers
_NO_CALL = (1 << 64) - 1
STEP = int(os.environ.get("KIMI_EVERY_NTH_CALL", "3"))
"""Which calls are looked at, one run after the other: each third, from a place that KIMI_FUZZ_SEED chooses; at night each."""
_FIRST = int(os.environ.get("KIMI_FUZZ_SEED", "1")) % STEP

Act = Callable[[], object]


class Outcome(NamedTuple):
    """`code` as of Popen: negative for a signal. `calls` are the names of all calls that came to be looked at, in order."""

    code: int
    calls: list[str]


def can_trace() -> bool:
    """Whether this machine lets a process trace its own child, and is one whose calls are known here."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    try:
        return run(lambda: os.close(os.open(os.devnull, os.O_RDONLY))).calls[-2:] == ["openat", "close"]
    except OSError:
        return False


def run(
    work: Act, *, at: int | None = None, refuse: int = 0, act: Act | None = None, only: frozenset[str] | None = None
) -> Outcome:
    """Do `work` in a child and look at its calls (`only`: the names that count).

    About to make its call number `at` (from 0), the child is killed; or that call fails with the errno `refuse`; or `act` is
    called while the child stands still. Without `at` every call fails with `refuse`, or nothing is disturbed.
    """
    child = _fork(work)
    calls: list[str] = []
    try:
        while True:
            if (code := _to_stop(child)) is not None:
                return Outcome(code, calls)
            name = _NUMBERS.get(_peek(child, _ORIG_RAX), "")
            counts = bool(name) and (only is None or name in only)
            here = counts and at in (None, len(calls))
            calls += [name] if counts else []
            if here and act is not None:
                act()
            elif here and refuse:
                _ptrace(_POKE, child, _ORIG_RAX, _NO_CALL)
            elif here and at is not None:
                os.kill(child, signal.SIGKILL)
            if (code := _to_stop(child)) is not None:  # the end of the call
                return Outcome(code, calls)
            if here and refuse and act is None:
                _ptrace(_POKE, child, _RAX, -refuse & _NO_CALL)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise


def everywhere(work: Act, before: Act, *, only: frozenset[str] | None = None) -> Iterator[int]:
    """The numbers of the calls of `work`, after a run of it that nothing disturbs: each `STEP`th, and the last.

    `before` sets the stage, each time.
    """
    before()
    whole = run(work, only=only)
    assert whole.code == 0, whole
    count = len(whole.calls)
    for number in sorted({*range(_FIRST, count, STEP), count - 1} if count else ()):
        before()
        yield number


def _fork(work: Act) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other threads of the test runner: the child needs none
        child = os.fork()
    if child == 0:
        code = 70
        try:
            _ptrace(_TRACEME, 0, 0, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        raise OSError("this machine lets nobody trace a process")
    _ptrace(_OPTIONS, child, 0, _SYSGOOD | _EXITKILL)
    return child


def _to_stop(child: int) -> int | None:
    """Go on to the next beginning or end of a call; the exit code when there is none any more. Signals are passed on."""
    passed = 0
    while True:
        with contextlib.suppress(ProcessLookupError):  # just killed
            _ptrace(_SYSCALL, child, 0, passed)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
            return None
        passed = os.WSTOPSIG(status)


def _peek(child: int, offset: int) -> int:
    value = ctypes.c_long(0)
    _libc.syscall(
        ctypes.c_long(101), ctypes.c_long(_PEEK), ctypes.c_long(child), ctypes.c_long(offset), ctypes.byref(value)
    )
    return value.value


def _ptrace(request: int, pid: int, address: int, data: int) -> None:
    number, unsigned = ctypes.c_long(101), ctypes.c_ulong(data & _NO_CALL)
    if _libc.syscall(number, ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_long(address), unsigned) < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_libc = ctypes.CDLL(None, use_errno=True)
