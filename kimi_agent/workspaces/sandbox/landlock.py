"""Landlock: which files a process and all its children may use. Only ever takes away; needs no privilege.

Sources: Documentation/userspace-api/landlock.rst, include/uapi/linux/landlock.h.
"""

import os
import stat
import struct

from kimi_agent.workspaces.sandbox import kernel

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same on every architecture
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_MAKE_CHAR, _MAKE_BLOCK, _REFER, _TRUNCATE, _IOCTL_DEV = 1 << 6, 1 << 11, 1 << 13, 1 << 14, 1 << 15
_READ = EXECUTE | READ_FILE | READ_DIR
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL = (1 << 16) - 1  # from ABI 5 on
_ALL_TCP = 3
_ALL_SCOPES = 3  # abstract unix sockets, signals

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_OPENED = tuple(f"/dev/{name}" for name in DEVICES)
_TERMINALS = ("/dev/ptmx", "/dev/pts", "/dev/shm")  # noqa: S108 - of the box itself, in R3 and R2


def abi() -> int:
    """The kernel's version of Landlock; 0 where there is none."""
    try:
        return kernel.call(_CREATE, None, 0, 1, what="landlock")
    except OSError:
        return 0


def keep_signals_inside() -> None:
    """Signals and abstract sockets of this process's family reach only the family, where the kernel can do that (ABI 6).

    The family cannot mount anything from then on.
    """
    if abi() < 6:
        return
    ruleset = _create(_REFER, 0, _ALL_SCOPES)
    _allow(ruleset, "/", _REFER)  # every ruleset that does not say so forbids renaming from one folder to another
    _restrict(ruleset)


def restrict(
    writable: "list[str]", *, unread: "list[str] | None" = None, shown: "tuple[str, ...]" = (), net: bool = False
) -> None:
    """Only `writable` trees and a few devices can be written from now on. `unread`: what of the rest cannot be read.

    None: everything can be read, because mounts hide what has to be hidden, and namespaces the network. `shown` are readable
    parts of `unread` ones; `net`: others can be reached. Raises OSError where the kernel has no Landlock.
    """
    rights = _RIGHTS.get(abi(), _ALL)
    ruleset = _create(rights, _ALL_TCP if unread is not None and not net and abi() >= 4 else 0, 0)
    try:
        if unread is None:
            _allow(ruleset, "/", _READ)
        else:
            _allow(ruleset, "/", READ_DIR)  # names can be listed everywhere
            for path in (*readable("/", ["/dev", *unread]), *shown):
                _allow(ruleset, path, _READ)
        for path in _OPENED:
            _allow(ruleset, path, (READ_FILE | WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & rights)
        for path in (*writable, *_TERMINALS):
            _allow(ruleset, path, rights & ~(_MAKE_CHAR | _MAKE_BLOCK))
    except BaseException:
        os.close(ruleset)
        raise
    _restrict(ruleset)


def read_alone(trees: "list[str]") -> None:
    """Only `trees` can be read from now on, nothing written or run, and nobody reached over TCP. Raises OSError."""
    ruleset = _create(_RIGHTS.get(abi(), _ALL), _ALL_TCP if abi() >= 4 else 0, 0)
    for path in trees:
        _allow(ruleset, path, READ_FILE | READ_DIR)
    for path in _OPENED:
        _allow(ruleset, path, READ_FILE | (WRITE_FILE if path == os.devnull else 0))
    _restrict(ruleset)


def readable(folder: str, unread: "list[str]") -> "list[str]":
    """What of `folder` can be read whole when `unread` (paths inside it) cannot: rules of Landlock cannot take away.

    Symbolic links are left out: what they lead to has a rule of its own, or none.
    """
    found: list[str] = []
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        path = os.path.join(folder, name)
        if path in unread or os.path.islink(path):
            continue
        inside = [other for other in unread if other.startswith(path + "/")]
        found += readable(path, inside) if inside else [path]
    return found


def _create(files: int, tcp: int, scopes: int) -> int:
    sizes = {1: 8, 2: 8, 3: 8, 4: 16, 5: 16}
    attributes = struct.pack("=QQQ", files, tcp, scopes)[: sizes.get(abi(), 24)]
    return kernel.call(_CREATE, attributes, len(attributes), 0, what="landlock_create_ruleset")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it has gone, or may not be looked at: what is not allowed is denied
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _ON_FILES
        if rights:
            kernel.call(_ADD, ruleset, 1, struct.pack("=Qi", rights, descriptor), 0, what=f"landlock_add_rule {path}")
    finally:
        os.close(descriptor)


def _restrict(ruleset: int) -> None:
    kernel.no_new_privileges()
    kernel.call(_RESTRICT, ruleset, 0, what="landlock_restrict_self")
    os.close(ruleset)
