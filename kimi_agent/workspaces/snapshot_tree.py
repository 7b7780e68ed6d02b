"""One folder of a workspace as it was at the last look: an index of git's says what is in it, and finds what differs.

git compares 20,000 files in some 15 ms, Python meanwhile looks for new names, and afterwards only at what differs. What git does
not keep is kept beside the index: rights of private files, folders, and what is left out.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from shutil import copyfile
from typing import Protocol, TypeAlias

from msgspec import Struct

from kimi_agent.core.errors import SnapshotError
from kimi_agent.core.snapshot import UNSAVED, FileChange, FileState, same
from kimi_agent.workspaces.snapshot_beside import Beside, read_beside
from kimi_agent.workspaces.snapshot_folders import SETTLED_NS, Folders
from kimi_agent.workspaces.snapshot_index import Index

Look: TypeAlias = Callable[[str], FileState | None]
FEW, FEW_BYTES = 50, 1_000_000
"""So many files are read at every look instead of being written to the index."""


class Limits(Struct, frozen=True):
    """`file_bytes` of one file, `files` of a workspace, `bytes` of all that is saved; `excluded` are names of folders.

    `settled_ns`: see snapshot_folders.py.
    """

    file_bytes: int = 10_000_000
    files: int = 200_000
    bytes: int = 4_000_000_000
    excluded: frozenset[str] = frozenset()
    settled_ns: int = SETTLED_NS

    @classmethod
    def of(cls, given: "Given") -> "Limits":
        """A name that no folder has is passed over."""
        excluded = frozenset(name for name in given.exclude if name and "/" not in name and "\n" not in name)
        return cls(int(given.max_file_mb * 1e6), given.max_files, int(given.max_total_mb * 1e6), excluded)


class Given(Protocol):
    """The limits as the configuration has them."""

    @property
    def max_file_mb(self) -> float: ...
    @property
    def max_total_mb(self) -> float: ...
    @property
    def max_files(self) -> int: ...
    @property
    def exclude(self) -> Sequence[str]: ...


class Tree:
    """`index` is the session's; `base` is the file of all sessions of the workspace, from which a new one starts.

    `look` saves one file and answers what it is.
    """

    def __init__(self, index: Index, base: Path, limits: Limits, hidden: Sequence[Path], look: Look) -> None:
        self.root, self._index, self._base, self._limits, self._look = index.root, index, base, limits, look
        inside = {str(path.relative_to(self.root)) for path in hidden if path.is_relative_to(self.root)}
        self._on_disk = Folders(self.root, limits.excluded, inside, limits.settled_ns)
        self._state = self._written = Beside()
        self._names: set[str] = set()  # of the index
        self._begun = False
        self._real: dict[str, bool] = {}  # folders that were looked at in this scan
        self._first = not index.file.is_file()

    # --- the look -----------------------------------------------------------------------------------------------------

    def scan(self, progress: Callable[[str], None]) -> list[FileChange]:
        """Save what differs from the last look, and answer it; nothing the first time. Raises SnapshotError, OSError."""
        self._begin()
        self._real.clear()
        before, new = self._index.differing(self._state, self._new)
        before |= self._hidden_by_links(new)
        before |= self._state.aside
        paths = dict.fromkeys((*before, *new))
        if len(paths) > self._limits.files:
            raise TooMany(f"{self.root} has more than {self._limits.files} files")
        stats = {path: self._stat(path) for path in paths}
        kept = {path: info.st_size for path, info in stats.items() if info and self._can_be_kept(path, info)}
        if sum(kept.values()) > self._limits.bytes:
            raise TooMany(f"{self.root} has more than {self._limits.bytes // 1_000_000} MB of files")
        after = {path: FileState(i.st_mode, unsaved(i)) for path, i in stats.items() if i and path not in kept}
        few = not self._first and len(paths) - len(after) <= FEW and sum(kept.values()) <= FEW_BYTES
        after |= self._look_at(kept) if few else self._write(kept, before, stats, progress)
        changes = [FileChange(str(self.root / path), before.get(path), after.get(path)) for path in paths]
        changes = [change for change in changes if not same(change.before, change.after)] + self._folders()
        aside = {path: after.get(path) for path in paths if path in after or path in self._names}
        self._remember(aside if few else {path: state for path, state in aside.items() if state and not state.saved})
        if few or self._names.issuperset(kept):  # else git missed one: look again
            self._on_disk.keep()
        if self._first:
            self._publish()
            self._first = self._index.first = False
            return []
        return merged(changes)

    def _look_at(self, paths: Iterable[str]) -> dict[str, FileState]:
        """Save a few files, and leave the index as it is: to write one of 20,000 files takes as long as to compare them all."""
        found = {path: self._look(str(self.root / path)) for path in paths}
        return {path: state for path, state in found.items() if state is not None and state.kind != "folder"}

    def _write(
        self,
        kept: Iterable[str],
        before: Iterable[str],
        stats: Mapping[str, os.stat_result | None],
        progress: Callable[[str], None],
    ) -> dict[str, FileState]:
        """Save what these files hold, in the index, too; nothing is answered the first time."""
        modes, paths = self._state.modes, list(kept)
        gone = set(before).difference(paths)
        self._index.write(paths, list(gone), progress)
        for path, info in stats.items():
            modes.pop(path, None)
            if info is not None and stat.S_ISREG(info.st_mode) and not self._state.is_plain(info.st_mode):
                modes[path] = info.st_mode
        if self._first:
            self._names = self._index.names()
            return {}
        after = self._index.states(paths, self._state)
        self._names = (self._names - set(before)) | after.keys()
        return {path: after[path] for path in paths if path in after}

    def _begin(self) -> None:
        if self._begun:
            return
        if self._first and self._base.is_file():
            copyfile(self._base, self._index.file)
        self._state = read_beside(self._base if self._first else self._index.file)
        self._index.begin()
        self._names = self._index.names()
        self._begun = True

    def _new(self) -> list[str]:
        """Files that are not in the index."""
        new: list[str] = []
        for path in self._on_disk.look():
            if path not in self._names:
                new.append(path)
                if len(new) > self._limits.files:
                    break
        return new

    def _hidden_by_links(self, new: Sequence[str]) -> dict[str, FileState]:
        """Files of the index whose folder has become a link that leads nowhere: git can only complain about these."""
        links = tuple(f"{name}/" for name in new if name in self._state.folders)
        if self._first or not links:
            return {}
        found = self._index.states([path for path in self._names if path.startswith(links)], self._state)
        return {path: state for path, state in found.items() if path.startswith(links)}

    def _stat(self, path: str) -> os.stat_result | None:
        """None for a folder, too: what is in it counts; and for what is only there by a link on the way to it."""
        if not self._is_real(path.rpartition("/")[0]):
            return None
        try:
            info = os.lstat(self.root / path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return None if stat.S_ISDIR(info.st_mode) else info

    def _is_real(self, folder: str) -> bool:
        """Whether no part of it is a link."""
        if folder and folder not in self._real:
            self._real[folder] = self._is_real(folder.rpartition("/")[0]) and self._is_folder(folder)
        return not folder or self._real[folder]

    def _is_folder(self, path: str) -> bool:
        with suppress(OSError):
            return stat.S_ISDIR(os.lstat(self.root / path).st_mode)
        return False

    def _can_be_kept(self, path: str, info: os.stat_result) -> bool:
        if stat.S_ISLNK(info.st_mode):
            return True
        fits = stat.S_ISREG(info.st_mode) and info.st_size <= self._limits.file_bytes
        return fits and os.access(self.root / path, os.R_OK)

    # --- what it amounts to -------------------------------------------------------------------------------------------

    def _folders(self) -> list[FileChange]:
        """Folders that are new, and those that are not there any more."""
        made, known, seen = FileState(stat.S_IFDIR | 0o777), self._state.folders, self._on_disk.seen
        changes = [FileChange(str(self.root / name), None, made) for name in sorted(seen - known)]
        gone = [name for name in sorted(known - seen) if not self._is_real(name)]
        return changes + [FileChange(str(self.root / name), made, None) for name in gone]

    def _remember(self, aside: dict[str, FileState | None]) -> None:
        state = Beside(dict(self._state.modes), self._on_disk.seen, aside)
        if state != self._written:
            state.write(self._index.file)
            self._written = state
        self._state = Beside(dict(state.modes), state.folders, state.aside)

    def _publish(self) -> None:
        """Let the workspace's next session begin with this one's look."""
        if self._index.file.is_file():
            temporary = self._base.with_name(f"{self._base.name}.{os.getpid()}.new")
            copyfile(self._index.file, temporary)
            temporary.replace(self._base)
            self._state.write(self._base)

    @property
    def left_out(self) -> dict[str, int]:
        """What is not saved, with its size in bytes."""
        aside = self._state.aside.items()
        return {path: int(state.blob.split(":")[1]) for path, state in aside if state and not state.saved}

    @property
    def excluded(self) -> set[str]:
        """Folders that were met and are not looked into."""
        return self._on_disk.skipped


class TooMany(SnapshotError):
    """A workspace that is not looked at as a whole."""


def unsaved(info: os.stat_result) -> str:
    return f"{UNSAVED}{info.st_size}:{info.st_mtime_ns}"


def merged(changes: Sequence[FileChange]) -> list[FileChange]:
    """One change per path: a file that has become a folder was found as both."""
    found: dict[str, FileChange] = {}
    for change in changes:
        if (old := found.get(change.path)) is not None:
            change = FileChange(change.path, old.before or change.before, change.after or old.after)
        found[change.path] = change
    return list(found.values())
