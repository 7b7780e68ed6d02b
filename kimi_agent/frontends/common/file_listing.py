"""The files of a folder, as `git` or a walk finds them: in batches, so that the first are known before the last."""

import os
import re
import subprocess
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

MAX_FILES = 500_000
BATCH_BYTES = 65_536
"""Of paths in one batch: one pass of a regular expression over it takes a millisecond or two."""
BATCH_FILES = 2000
SKIPPED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        "node_modules",
        "__pycache__",
        ".venv",
        "venv",
        ".tox",
        ".mypy_cache",
        ".ruff_cache",
        ".pytest_cache",
    }
)
"""Folders that a walk leaves out; where there is git, its ignore files decide."""
_GIT = ("git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
"""A repository's own settings may name a program to be run; listing its files runs none."""
_TRACKED = ("ls-files", "-z", "--cached", "--recurse-submodules")
_UNTRACKED = ("ls-files", "-z", "--others", "--exclude-standard")
_FOLDER = re.compile(r"^.*/", re.MULTILINE)
_ALL_BUT_NAME = re.compile(r".*/(?!\n)")
_LISTED_FOLDER = re.compile(r"^.*/$", re.MULTILINE)


class Batch(Struct, frozen=True):
    """Paths, each between two newlines. `lowered` is of the same length, letter for letter; `names` are the last parts of it."""

    text: str
    lowered: str
    names: str


def batch_of(lines: str) -> Batch:
    """A batch of paths, each with a newline behind it."""
    text = f"\n{lines}"
    small = lowered(text)
    return Batch(text, small, _ALL_BUT_NAME.sub("", small))


def batches(root: Path, *, uses_git: bool = True) -> Iterator[Batch]:
    """Files and their folders below `root`, relative, folders with a final slash; what git ignores is left out.

    Never raises: what cannot be read is not listed. Blocks while it reads.
    """
    folders: set[str] = set()
    left = MAX_FILES
    for paths in _found(root) if uses_git else _walked(root):
        left -= paths.count("\n")
        new = _new_folders(paths, folders)
        yield batch_of(paths + "".join(f"{folder}\n" for folder in new))
        if left <= 0:
            return


def lowered(text: str) -> str:
    small = text.lower()
    if len(small) == len(text):
        return small
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)


def _found(root: Path) -> Iterator[str]:
    """Paths, each with a newline behind it."""
    listed = False
    for command in (_TRACKED, _UNTRACKED):
        for names in _of_git([*_GIT, "-C", str(root), *command]):
            listed = True
            yield names
    if not listed:  # no repository, or one that ignores this folder
        yield from _walked(root)


def _of_git(command: list[str]) -> Iterator[str]:
    environ = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=environ
        )
    except OSError:
        return
    assert child.stdout is not None
    with child.stdout as pipe:
        try:
            rest = b""
            while chunk := os.read(pipe.fileno(), BATCH_BYTES):
                whole, zero, rest = (rest + chunk).rpartition(b"\0")
                if zero:
                    yield _lines(whole + zero)
        finally:
            child.kill()  # when nobody wants the rest
            child.wait()


def _lines(names: bytes) -> str:
    """Names that end in zeros, as lines. A name that holds a newline is left out: no list can show it."""
    if b"\n" in names:
        names = b"".join(name + b"\0" for name in names.split(b"\0") if name and b"\n" not in name)
    return names.decode(errors="replace").replace("\0", "\n")


def _walked(root: Path) -> Iterator[str]:
    """What lies at the top first. Hidden folders are named, not entered: their files are completed by their full path."""
    names: list[str] = []
    folders = deque([""])
    while folders:
        folder = folders.popleft()
        for entry in _entries(root / folder):
            name = f"{folder}{entry.name}"
            if "\n" in name or entry.name in SKIPPED:
                continue
            if not _is_folder(entry):
                names.append(name)
                continue
            names.append(f"{name}/")
            if not entry.name.startswith("."):
                folders.append(f"{name}/")
        if len(names) >= BATCH_FILES:
            yield _joined(names)
            names = []
    if names:
        yield _joined(names)


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError:
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _joined(names: list[str]) -> str:
    return os.fsencode("".join(f"{name}\n" for name in names)).decode(errors="replace")


def _new_folders(paths: str, known: set[str]) -> list[str]:
    """Folders of the paths, and the folders around them, that were not known yet; now they are."""
    new, listed = [], set(_LISTED_FOLDER.findall(paths))
    for folder in set(_FOLDER.findall(paths)):
        while folder and folder not in known:
            known.add(folder)
            if folder not in listed:
                new.append(folder)
            folder = folder[: folder.rfind("/", 0, -1) + 1]
    return new
