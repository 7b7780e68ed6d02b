"""The folders of a tree, and what is new in them. One whose time stamps are as they were holds the same names, and is not read.

Only names are found this way, never what a file holds: that git looks at, file by file.
"""

import os
import re
import stat
import sys
import time
from collections.abc import Collection, Container, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

SETTLED_NS = 3_000_000_000
"""A change may leave no trace in a time stamp that is younger than a tick of the file system's clock: two seconds at most."""
_STAMPED = frozenset(("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "tmpfs", "xfs", "zfs"))
"""File systems of this machine that stamp a folder whenever a name in it comes or goes. Nets and bridges may not."""

Stamp: TypeAlias = tuple[int, int, int, int]


class Folder(Struct):
    """What was read of one: names of its folders, and paths of its files. Without a `stamp` it is read again."""

    stamp: Stamp | None
    folders: list[str]
    files: list[str]


class Folders:
    """Paths are relative to `root`, which is "" itself. Folders with an `excluded` name, those at a path of `hidden`, and git's
    own are never entered; neither are links. A stamp counts when it is `settled_ns` old."""

    def __init__(self, root: Path, excluded: Container[str], hidden: Collection[str], settled_ns: int) -> None:
        self._root, self._excluded, self._hidden = str(root), excluded, hidden
        self._settled_ns = settled_ns
        self._stamped = _is_stamped(root)
        self._device, self._began = -1, 0
        self._known: dict[str, Folder] = {}
        self._seen: dict[str, Folder] = {}
        self.skipped: set[str] = set()  # folders that were met and left out; below the root by their names alone

    def look(self) -> Iterator[str]:
        """The files of the folders that may have changed since what `keep` kept. Afterwards `seen` is complete."""
        self._seen, self._began = {}, time.time_ns()
        waiting = [""]
        while waiting:
            name = waiting.pop()
            found = self._look(name)
            if found is None:
                continue
            self._seen[name] = found
            if found is not self._known.get(name):
                yield from found.files
            waiting += [f"{name}/{inner}" if name else inner for inner in found.folders]

    @property
    def seen(self) -> set[str]:
        """All that there are, but for the empty folder that the box has there while a command runs (see sandbox/zygote.py)."""
        found, box = self._seen, self._seen.get(".kimi")
        placeholder = box is not None and not (box.folders or box.files)
        return found.keys() - ({"", ".kimi"} if placeholder else {""})

    def keep(self) -> None:
        """What was seen is saved: look only at what changes from here on."""
        self._known = self._seen

    def _look(self, name: str) -> Folder | None:
        """None for what is no folder, or not any more."""
        path = f"{self._root}/{name}" if name else self._root
        try:
            info = os.lstat(path) if name else Path(path).stat()
        except OSError:
            return None
        if not stat.S_ISDIR(info.st_mode):
            return None
        if not name:
            self._device = info.st_dev
        stamp = (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns)
        known = self._known.get(name)
        if known is not None and known.stamp == stamp:
            return known
        settled = max(info.st_mtime_ns, info.st_ctime_ns) < self._began - self._settled_ns
        found = Folder(stamp if settled and self._stamped and info.st_dev == self._device else None, [], [])
        try:
            self._read(path, name, found)
        except OSError:
            found.stamp = None
        return found

    def _read(self, path: str, name: str, found: Folder) -> None:
        with os.scandir(path) as entries:
            for entry in entries:
                inner = f"{name}/{entry.name}" if name else entry.name
                if entry.name.lower() == ".git":
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    found.files.append(inner)
                elif entry.name in self._excluded or inner in self._hidden:
                    self.skipped.add(inner if inner in self._hidden or not name else f"**/{entry.name}")
                else:
                    found.folders.append(entry.name)


def _is_stamped(root: Path) -> bool:
    if sys.platform == "darwin":
        return True
    kind, best = "", ""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
            before, _, after = line.partition(" - ")
            place = re.sub(r"\\(\d{3})", lambda sign: chr(int(sign[1], 8)), before.split(" ")[4])
            if len(place) >= len(best) and root.is_relative_to(place):
                kind, best = after.split(" ")[0], place
    return kind in _STAMPED
