"""The files of a folder, as `git` or a walk finds them: in batches, so that the first are known before the last."""

import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from kimi_agent.core.access import BoxError, BoxView
from kimi_agent.core.environment import child_environment

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


Run: TypeAlias = Callable[[Sequence[str], Mapping[str, str], Path], Generator[bytes, None, None]]
"""Runs a program with an environment in a folder; see `core.access.BoxView.output`."""


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


def run_here(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> Generator[bytes, None, None]:
    """What a program prints, in pieces as they come, in no box. Raises OSError."""
    nothing = subprocess.DEVNULL
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=nothing, stdin=nothing, env=env, cwd=cwd) as child:
        assert child.stdout is not None
        try:
            while piece := os.read(child.stdout.fileno(), BATCH_BYTES):
                yield piece
        finally:
            child.kill()  # when nobody wants the rest


def lister(box: BoxView | None, *, trusted: bool) -> Run | None:
    """What runs git for the list of files of a folder, None for nothing."""
    if not trusted:
        return None
    return run_here if box is None else box.output


def batches(root: Path, run: Run | None = run_here) -> Iterator[Batch]:
    """Files and their folders below `root`, relative, folders with a final slash; what git ignores is left out.

    `run` runs git; where it is None git is not asked. Never raises: what cannot be read is not listed. Blocks while it reads.
    """
    folders: set[str] = set()
    left = MAX_FILES
    for paths in _found(root, run) if run is not None else _walked(root):
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


def _found(root: Path, run: Run) -> Iterator[str]:
    """Paths, each with a newline behind it."""
    listed = False
    for command in (_TRACKED, _UNTRACKED):
        for names in _of_git([*_GIT, "-C", str(root), *command], root, run):
            listed = True
            yield names
    if not listed:  # no repository, or one that ignores this folder
        yield from _walked(root)


def _of_git(command: list[str], root: Path, run: Run) -> Iterator[str]:
    rest = b""
    try:
        with closing(run(command, child_environment({"GIT_OPTIONAL_LOCKS": "0"}), root)) as pieces:
            for piece in pieces:
                whole, zero, rest = (rest + piece).rpartition(b"\0")
                if zero:
                    yield _lines(whole + zero)
    except (OSError, BoxError):
        return


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
