"""Replacing a file's content: whole or not at all, and only if nobody else changed it meanwhile."""

import errno
import fcntl
import os
import secrets
import stat as stat_module
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kimi_agent.core.errors import StaleFileError, WorkspaceError
from kimi_agent.workspaces.exchange import exchange

_LOCK_WAIT = 1.0
"""Seconds to wait for another program that replaces a file in the same folder. The lock is held for milliseconds; a
program that keeps a folder locked for its own reasons must not stop an edit."""

_NEEDS_IN_PLACE = frozenset({errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV})
"""What a rename answers where the file itself may still be writable: a folder that is not, a single mounted file."""


_FOLDERS = "/proc/self/fd"
_ELSEWHERE = "{} leads somewhere else now: a part of the path has become a symbolic link."


def key_of(found: os.stat_result) -> str:
    """Differs after every change of the file. It has the change time too, because tools set the modification time back."""
    return f"{found.st_dev}.{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}"


def replace_file(path: Path, data: bytes, expect: str | None) -> os.stat_result:
    """Make `data` the content of `path`, whose key must still be `expect` (None: there must be no file).

    `path` is real. Mode, owner, extended attributes and hard links stay; missing parents are made. A reader sees the old
    content or the new, except where links or rights force writing in place. Raises StaleFileError, WorkspaceError, OSError;
    then the content is what it was.
    """
    if _check(path, expect) is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    with _pinned(path) as pinned:
        return _replace(pinned, data, expect)


def _replace(path: Path, data: bytes, expect: str | None) -> os.stat_result:
    before = _check(path, expect)
    if before is not None and not os.access(path, os.W_OK):  # a rename would get around the file's own mode
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    if before is not None and before.st_nlink > 1:
        return _write_in_place(path, data, expect)
    try:
        return _write_by_rename(path, data, before, expect)
    except _CannotRename as refused:
        if before is None:
            raise refused.cause from None
        return _write_in_place(path, data, expect)


class _CannotRename(Exception):
    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def _pinned(path: Path) -> Iterator[Path]:
    """`path` by way of its open folder: a command that puts a link in the place of a folder does not lead the writing away."""
    if not Path(_FOLDERS).is_dir():
        yield path
        return
    folder = os.open(path.parent, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pinned = Path(_FOLDERS, str(folder), path.name)
        if _named(pinned) != str(path):
            raise StaleFileError(_ELSEWHERE.format(path))
        yield pinned
    finally:
        os.close(folder)


def _named(path: Path) -> str:
    """How people name a path that may be pinned."""
    if path.parent.parent != Path(_FOLDERS):
        return str(path)
    return os.path.join(os.readlink(path.parent), path.name)  # noqa: PTH115, PTH118 - as it is, not as a path is written


def _check(path: Path, expect: str | None) -> os.stat_result | None:
    name = _named(path)
    if os.path.realpath(path) != name:
        raise StaleFileError(_ELSEWHERE.format(name))
    try:
        found = path.lstat()
    except FileNotFoundError:
        if expect is None:
            return None
        raise StaleFileError(f"{name} has been deleted meanwhile.") from None
    if stat_module.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat_module.S_ISREG(found.st_mode):
        raise WorkspaceError(f"{name} is not a regular file.")
    if expect is None:
        raise StaleFileError(f"{name} has been created meanwhile. Read it first.")
    if key_of(found) != expect:
        raise StaleFileError(f"{name} has changed meanwhile. Read it again.")
    return found


def _write_by_rename(path: Path, data: bytes, before: os.stat_result | None, expect: str | None) -> os.stat_result:
    temporary = path.parent / f".kimi-{secrets.token_hex(6)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
    try:
        descriptor = os.open(temporary, flags, 0o666 if before is None else 0o600)
    except OSError as error:
        raise (_CannotRename(error) if error.errno in _NEEDS_IN_PLACE else error) from None
    try:
        _write_all(descriptor, data)
        if before is not None:
            _copy_attributes(path, before, descriptor)
        os.fsync(descriptor)
        with _locked_folder(path.parent) as folder:
            _check(path, expect)
            _put(temporary, path, before)
            if folder is not None:
                with suppress(OSError):  # some file systems cannot sync a folder
                    os.fsync(folder)
        return os.fstat(descriptor)
    finally:
        with suppress(OSError):  # whatever it is now: the change is made, or it is not
            temporary.unlink(missing_ok=True)
        with suppress(OSError):
            os.close(descriptor)


def _put(temporary: Path, path: Path, before: os.stat_result | None) -> None:
    """A new file is linked, not renamed: a link fails when somebody else has made the file since the last look.

    For the same reason a file is exchanged with the new one, and exchanged back when it was another than the one expected.
    """
    try:
        if before is None:
            try:
                path.hardlink_to(temporary)
                with suppress(OSError):
                    temporary.unlink()  # here and not later: it changes the key
                return
            except FileExistsError:
                raise StaleFileError(f"{_named(path)} has been created meanwhile. Read it first.") from None
            except OSError:
                pass  # a file system without hard links
        elif exchange(temporary, path):
            if _looks(temporary) != _looks_of(before):
                exchange(temporary, path)
                raise StaleFileError(f"{_named(path)} has changed meanwhile. Read it again.")
            return
        temporary.replace(path)
    except OSError as error:
        raise (_CannotRename(error) if error.errno in _NEEDS_IN_PLACE else error) from None


def _looks_of(found: os.stat_result) -> tuple[int, ...]:
    """What a rename leaves as it is: the change time is not among it."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _looks(path: Path) -> tuple[int, ...]:
    """As `_looks_of`, of what is there now; nothing when it cannot be looked at."""
    try:
        return _looks_of(path.lstat())
    except OSError:
        return ()


def _copy_attributes(path: Path, before: os.stat_result, descriptor: int) -> None:
    """Owner first: changing it clears the set-id bits. Raises _CannotRename when the owner cannot be kept."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except OSError as error:
            raise _CannotRename(error) from None
    if hasattr(os, "listxattr"):  # Linux; access control lists are attributes too
        with suppress(OSError):
            for name in os.listxattr(path):
                with suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(path, name))
    os.fchmod(descriptor, stat_module.S_IMODE(before.st_mode))


def _write_in_place(path: Path, data: bytes, expect: str | None) -> os.stat_result:
    """For files whose inode must stay. A copy of the old content lies beside it until the new one is on the disk."""
    with _locked_folder(path.parent):
        _check(path, expect)
        with open(path, "r+b", buffering=0, opener=_no_link) as file:
            descriptor = file.fileno()
            old = file.readall()
            with _backup(path, old):
                if key_of(os.fstat(descriptor)) != expect:
                    raise StaleFileError(f"{_named(path)} has changed meanwhile. Read it again.")
                try:
                    _reserve(descriptor, len(data))
                    _overwrite(descriptor, data)
                except OSError:
                    _overwrite(descriptor, old)
                    raise
                return os.fstat(descriptor)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _reserve(descriptor: int, size: int) -> None:
    """Raises OSError when the disk has no room for `size` bytes, before anything has been overwritten."""
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


def _overwrite(descriptor: int, data: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    _write_all(descriptor, data)
    os.ftruncate(descriptor, len(data))
    os.fsync(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def _backup(path: Path, old: bytes) -> Iterator[None]:
    copy = path.parent / f".kimi-{secrets.token_hex(6)}.{path.name[:200]}"
    try:
        descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NEEDS_IN_PLACE:
            raise
        yield  # the folder is not ours to write in
        return
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _write_all(file.fileno(), old)
            os.fsync(file.fileno())
        yield
    finally:
        with suppress(OSError):
            copy.unlink(missing_ok=True)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[int | None]:
    """Keeps other programs of ours, and other threads, from replacing files in `folder`; yields its descriptor."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # not readable: goes on without the lock
        yield None
        return
    try:
        _lock(descriptor)
        yield descriptor
    finally:
        with suppress(OSError):
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + _LOCK_WAIT
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return
            time.sleep(0.005)
        except OSError:  # a file system without locks
            return
