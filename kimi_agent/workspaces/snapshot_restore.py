"""Putting files back: byte by byte, whole or not at all, only what is as expected, and never through a symbolic link."""

import os
import secrets
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kimi_agent.core.errors import KimiError
from kimi_agent.core.snapshot import FileChange, FileState, same

CHANGED = "it has changed meanwhile, and is left as it is"
NOT_SAVED = "what it was before is not saved"
NOT_KEPT = "what it is now is too large to be saved, and would be lost"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Read = Callable[[str], bytes]
Look = Callable[[str], FileState | None]


def restore(changes: Sequence[FileChange], read: Read, look: Look) -> Mapping[str, str]:
    """Make each path its change's `after`; answers why, by path, where that was not done.

    `read` gives a saved content by its id, `look` what is at a path now. What goes, goes first, and the deepest of it first,
    so that a folder can take the place of a file, and a file that of a folder.
    """
    deepest = sorted(changes, key=lambda change: change.path.count("/"), reverse=True)
    going = [change for change in deepest if change.after is None]
    order = [change for change in going if not _is_folder(change.before)]
    order += [change for change in going if _is_folder(change.before)]
    order += [change for change in reversed(deepest) if change.after is not None]
    refused: dict[str, str] = {}
    for change in order:
        try:
            reason = _restore(change, read, look)
        except OSError as error:
            reason = error.strerror or type(error).__name__
        except KimiError as error:
            reason = str(error)
        if reason:
            refused[change.path] = reason
    return refused


def _is_folder(state: FileState | None) -> bool:
    return state is not None and state.kind == "folder"


def _restore(change: FileChange, read: Read, look: Look) -> str:
    wanted = change.after
    if wanted is not None and not wanted.saved:
        return NOT_SAVED
    if change.before is not None and not change.before.saved:
        return NOT_KEPT
    now = look(change.path)
    if same(now, wanted) or (wanted is None and _is_folder(change.before) and now is None):
        return ""
    if not same(now, change.before):
        return CHANGED
    name = Path(change.path).name
    with open_parent(change.path, make=wanted is not None) as parent:
        if wanted is not None:
            _put(parent, name, now, wanted, read)
        elif now is not None:
            _remove(parent, name, now)
    return ""


def _remove(parent: int, name: str, now: FileState) -> None:
    if not _is_folder(now):
        os.unlink(name, dir_fd=parent)
        return
    with suppress(OSError):  # a folder in which there is something of somebody else's stays
        os.rmdir(name, dir_fd=parent)


def _put(parent: int, name: str, now: FileState | None, wanted: FileState, read: Read) -> None:
    """It is complete before what is there now goes: what fails leaves everything as it is."""
    temporary = f".kimi-{secrets.token_hex(6)}.tmp"
    try:
        if wanted.kind == "folder":
            os.mkdir(temporary, stat.S_IMODE(wanted.mode), dir_fd=parent)
        elif wanted.kind == "link":
            os.symlink(read(wanted.blob), os.fsencode(temporary), dir_fd=parent)
        else:
            _write(parent, temporary, name, read(wanted.blob), wanted)
        if now is not None and (_is_folder(now) or _is_folder(wanted)):
            _exchange(parent, temporary, name, now)
        else:
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(OSError):
            (os.rmdir if wanted.kind == "folder" else os.unlink)(temporary, dir_fd=parent)
        raise
    with suppress(OSError):  # some file systems cannot sync a folder
        os.fsync(parent)


def _exchange(parent: int, temporary: str, name: str, now: FileState) -> None:
    """A folder and a file change places. A folder in which there is something keeps its own."""
    aside = f"{temporary}.old"
    os.rename(name, aside, src_dir_fd=parent, dst_dir_fd=parent)
    try:
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        try:
            (os.rmdir if _is_folder(now) else os.unlink)(aside, dir_fd=parent)
        except OSError:
            os.rename(name, temporary, src_dir_fd=parent, dst_dir_fd=parent)
            raise
    except OSError:
        os.rename(aside, name, src_dir_fd=parent, dst_dir_fd=parent)
        raise


def _write(parent: int, temporary: str, name: str, data: bytes, wanted: FileState) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        _keep_attributes(parent, name, descriptor, wanted)
        os.fsync(descriptor)


def _keep_attributes(parent: int, name: str, descriptor: int, wanted: FileState) -> None:
    """A file that is replaced keeps owner and rights, but for what the saved state says of running it."""
    mode = stat.S_IMODE(wanted.mode)
    with suppress(OSError):
        now = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(now.st_mode):
            with suppress(OSError):
                os.fchown(descriptor, now.st_uid, now.st_gid)
            if bool(now.st_mode & 0o100) == bool(mode & 0o100):
                mode = stat.S_IMODE(now.st_mode)
    os.fchmod(descriptor, mode)


@contextmanager
def open_parent(path: str, *, make: bool) -> Iterator[int]:
    """The folder of an absolute path, opened step by step: a link on the way raises NotADirectoryError. `make` missing ones."""
    descriptor = os.open("/", _FOLDER)
    try:
        for part in Path(path).parts[1:-1]:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)
