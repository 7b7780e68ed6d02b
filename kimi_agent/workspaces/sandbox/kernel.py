"""The system calls that Python has no function for. Every one raises OSError with the name of what failed.

Sources: the manual pages of section 2, include/uapi/linux/{mount,prctl,sched,capability}.h.
"""

import ctypes
import os
import struct

# PyDLL keeps the interpreter's lock: nothing of ours waits in these calls, and a child never starts without it.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

NEW_MOUNTS, NEW_UTS, NEW_IPC = 0x0002_0000, 0x0400_0000, 0x0800_0000
NEW_USER, NEW_PIDS, NEW_NET = 0x1000_0000, 0x2000_0000, 0x4000_0000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 1 << 18
RDONLY, NOSUID, NODEV = 1, 2, 4  # of mount_setattr

_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_AT_FDCWD, _AT_NOFOLLOW, _AT_RECURSIVE, _CLONE_TREE = -100, 0x100, 0x8000, 1
_MOVE_FROM_FD = 4

_PDEATHSIG, _DUMPABLE, _SET_NAME, _CAPBSET_DROP, _SUBREAPER, _NO_NEW_PRIVS = 1, 4, 15, 24, 36, 38

KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 10)
"""What root keeps inside: chown, dac_override, fowner, fsetid, kill, setgid, setuid, net_bind_service. Mounts and Landlock hold
against all of them; without them root could not work in a folder that belongs to somebody else."""


def call(number: int, *arguments: int | bytes | None, what: str) -> int:
    """A system call by number. Raises OSError named `what`."""
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *given)), what)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, value: int, what: str, argument: bytes | None = None) -> None:
    second = ctypes.c_char_p(argument) if argument is not None else ctypes.c_ulong(0)
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), second, zero, zero), what)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process when its parent ends, also when that has happened just now."""
    prctl(_PDEATHSIG, 9, "PDEATHSIG")
    if os.getppid() != parent:
        os._exit(125)


def adopt_orphans() -> None:
    prctl(_SUBREAPER, 1, "SUBREAPER")


def keep_memory_private() -> None:
    """No core dump and no /proc view of this process for others of the same user."""
    prctl(_DUMPABLE, 0, "DUMPABLE")


def no_new_privileges() -> None:
    prctl(_NO_NEW_PRIVS, 1, "NO_NEW_PRIVS")


def drop_capabilities() -> None:
    """Whatever is run after this has at most `KEPT_CAPABILITIES`, and those only as root."""
    kept = KEPT_CAPABILITIES if os.geteuid() == 0 else ()
    for number in range(64):
        if number not in kept:
            try:
                prctl(_CAPBSET_DROP, number, "CAPBSET_DROP")
            except OSError:  # no such capability here, or not ours to drop: then it is not ours to use
                continue


def unshare(flags: int) -> None:
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    names = [os.fsencode(name) if name else None for name in (source, target, kind)]
    options = data.encode() if data else None
    _checked(_libc.mount(*names, ctypes.c_ulong(flags), options), f"mount {target}")


def set_attributes(path: str, add: int, *, clear: int = 0, recursive: bool = True) -> None:
    """Set and clear attributes (`RDONLY`, ...) of the mount at `path`, and of those below it."""
    attributes = struct.pack("=QQQQ", add, clear, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    call(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, attributes, len(attributes), what=f"mount_setattr {path}")


def open_tree(path: str, *, recursive: bool = True) -> int:
    """A descriptor of a copy of the mount at `path` (a symbolic link itself is taken), to be put somewhere by `put_tree`."""
    flags = _CLONE_TREE | os.O_CLOEXEC | _AT_NOFOLLOW | (_AT_RECURSIVE if recursive else 0)
    return call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags, what=f"open_tree {path}")


def put_tree(tree: int, path: str) -> None:
    """Mount what `open_tree` answered at `path`, and close it."""
    call(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(path), _MOVE_FROM_FD, what=f"move_mount {path}")
    os.close(tree)


def set_title(title: bytes) -> None:
    """What `ps` shows and `pkill -f` finds, in place of the command line; it cannot get longer than that was."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5)
    if 0 < start < end:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, title, min(len(title), end - start - 1))
    name = ctypes.create_string_buffer(title[:15])
    prctl(_SET_NAME, ctypes.addressof(name), "SET_NAME")
