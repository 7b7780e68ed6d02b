"""The contents of files by their ids, in git's own format: what git has saved is read here, and without git it is saved here."""

import hashlib
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from kimi_agent.core.errors import SnapshotError
from kimi_agent.core.snapshot import FileChange, FileState
from kimi_agent.workspaces.piped import Piped


def id_of(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Objects:
    """New objects go to `own`, a session's folder; `shared` holds what the sessions of a workspace have in common."""

    def __init__(self, own: Path, shared: Path) -> None:
        self.own, self.shared = own, shared

    def put(self, data: bytes, *, durable: bool = True) -> str:
        """Save a content; a durable one outlives even a power cut from now on. Raises OSError."""
        name = id_of(data)
        place = self.own / name[:2] / name[2:]
        if any(_is_there(folder / name[:2] / name[2:]) for folder in (self.own, self.shared)):
            return name
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = place.with_name(f"tmp_{secrets.token_hex(6)}")
        try:
            with temporary.open("xb") as file:
                file.write(zlib.compress(b"blob %d\0" % len(data) + data, 1))
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.chmod(0o400)
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        return name

    def loose(self, name: str) -> bytes | None:
        """The content of an object that is a file of its own; None when it is none. Raises SnapshotError when it is damaged."""
        for folder in (self.own, self.shared):
            with suppress(FileNotFoundError, NotADirectoryError):
                try:
                    data = zlib.decompress((folder / name[:2] / name[2:]).read_bytes()).partition(b"\0")[2]
                except zlib.error:
                    data = b""
                return _checked(name, data)
        return None


class Reader:
    """Reads objects: loose ones itself, packed ones through one git that is started when it is first needed."""

    def __init__(self, objects: Objects, start: Callable[[], Piped] | None) -> None:
        self._objects, self._start = objects, start
        self._git: Piped | None = None

    def get(self, name: str) -> bytes:
        """Raises SnapshotError when the content is gone or damaged, OSError."""
        data = self._objects.loose(name)
        if data is None and self._start is not None:
            self._git = self._git or self._start()
            assert self._git.stdin is not None
            assert self._git.stdout is not None
            data = _ask(self._git.stdin, self._git.stdout, name)
        if data is None:
            raise SnapshotError(f"the saved content {name[:12]} is gone")
        return _checked(name, data)


def _is_there(place: Path) -> bool:
    with suppress(OSError):
        return place.stat().st_size > 0  # what a power cut leaves of a file may be empty
    return False


def _ask(stdin: IO[bytes], stdout: IO[bytes], name: str) -> bytes | None:
    stdin.write(name.encode() + b"\n")
    stdin.flush()
    head = stdout.readline().split()
    if len(head) != 3:
        return None
    data = stdout.read(int(head[2]))
    stdout.read(1)
    return data


def _checked(name: str, data: bytes) -> bytes:
    if id_of(data) != name:
        raise SnapshotError(f"the saved content {name[:12]} is damaged")
    return data


# --- lists of changes -------------------------------------------------------------------------------------------------


def encode(changes: Sequence[FileChange]) -> bytes:
    """One change after the other: `MODE ID MODE ID PATH`, each ended by NUL; a mode of 0 is nothing."""
    return b"".join(
        b"%s %s %s\0" % (_state(change.before), _state(change.after), os.fsencode(change.path)) for change in changes
    )


def decode(data: bytes) -> Iterable[FileChange]:
    """Raises SnapshotError for what `encode` has not written."""
    try:
        for line in data.split(b"\0")[:-1]:
            mode, blob, mode_after, blob_after, path = line.split(b" ", 4)
            yield FileChange(os.fsdecode(path), _read(mode, blob), _read(mode_after, blob_after))
    except ValueError:
        raise SnapshotError("a saved list of changes is damaged") from None


def _state(state: FileState | None) -> bytes:
    return b"0 -" if state is None else b"%o %s" % (state.mode, state.blob.encode() or b"-")


def _read(mode: bytes, blob: bytes) -> FileState | None:
    number = int(mode, 8)
    return FileState(number, "" if blob == b"-" else blob.decode()) if number else None
