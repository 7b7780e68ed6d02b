"""The files of a plugin's folder: a hash of all of them, a stamp that tells cheaply whether it still holds, a careful copy."""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import plain, visible

MAX_FILES = 5_000
"""Files and folders."""
MAX_BYTES = 100 << 20
"""Of a plugin as a whole."""
MAX_DEPTH = 40
"""Folders in one another."""

Stamp = tuple[int, int, int]
"""How many files and folders, the bytes of the files together, and the newest time of change (nanoseconds)."""


def stamp(folder: Path) -> Stamp:
    """Raises OSError when the folder cannot be read."""
    count = size = newest = 0
    for _, entry in _walk(str(folder)):
        found = entry.stat(follow_symlinks=False)
        count, newest = count + 1, max(newest, found.st_mtime_ns, found.st_ctime_ns)
        size += 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return count, size, newest


def content_hash(folder: Path) -> str:
    """SHA-256 over the sorted relative paths, each with its kind (x: executable) and its content.

    Raises ConfigError for what is no file, no folder and no link inside the folder, and when there is too much.
    """
    total = hashlib.sha256()
    for name, kind, path in sorted(_checked(folder)):
        digest = os.fsencode(Path(path).readlink()).hex() if kind == "l" else _file_hash(path)
        total.update(f"{name.encode('utf-8', 'surrogateescape').hex()} {kind} {digest}\n".encode())
    return total.hexdigest()


def copy_folder(source: Path, target: Path) -> None:
    """Copy the plugin's files to the new folder `target`, without `.git`. Only the executable bit of their modes is kept.

    Raises ConfigError as `content_hash` does.
    """
    target.mkdir(parents=True)
    for name, kind, path in _checked(source):
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "l":
            place.symlink_to(Path(path).readlink())
        else:
            write_file(place, Path(path).read_bytes(), executable=kind == "x")


def write_file(path: Path, data: bytes, *, executable: bool) -> None:
    """Write a file that is not there yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755 if executable else 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _checked(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Relative path, kind (`-`, `x` or `l`) and path of each file. Raises ConfigError."""
    root, count, size = os.path.realpath(folder), 0, 0
    for name, entry in _walk(root):
        found = entry.stat(follow_symlinks=False)
        is_folder = stat.S_ISDIR(found.st_mode)
        count, size = count + 1, size + (0 if is_folder else found.st_size)
        if count > MAX_FILES or size > MAX_BYTES:
            raise ConfigError(f"the plugin is too large: over {MAX_FILES:,} files and folders or {MAX_BYTES >> 20} MB")
        if name.count("/") > MAX_DEPTH:
            raise ConfigError(f"the plugin is too large: it holds over {MAX_DEPTH} folders in one another")
        if is_folder:
            continue
        if stat.S_ISLNK(found.st_mode):
            _check_link(root, name, entry.path)
            yield name, "l", entry.path
        elif stat.S_ISREG(found.st_mode):
            yield name, "x" if found.st_mode & 0o100 else "-", entry.path
        else:
            raise ConfigError(f"{visible(plain(name))} is neither a file nor a folder")


def _check_link(root: str, name: str, path: str) -> None:
    real = os.path.realpath(path)
    if Path(path).readlink().is_absolute() or os.path.commonpath([root, real]) != root:
        raise ConfigError(f"{visible(plain(name))} is a link out of the plugin's folder")


def _walk(root: str) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """What is below `root`, folders before what they hold, without `.git`."""
    pending = [""]
    while pending:
        below = pending.pop()
        with os.scandir(f"{root}/{below}") as entries:
            for entry in entries:
                name = f"{below}/{entry.name}" if below else entry.name
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_folder and entry.name == ".git":
                    continue
                if is_folder:
                    pending.append(name)
                yield name, entry


def _file_hash(path: str) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()
