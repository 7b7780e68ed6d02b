"""git's index of one folder: what was in it at the last look, kept without ever touching an index of the user's."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from kimi_agent.core.errors import SnapshotError
from kimi_agent.core.snapshot import FileState
from kimi_agent.workspaces.snapshot_beside import Beside
from kimi_agent.workspaces.snapshot_git import Git

T = TypeVar("T")
BATCH = 4_000
"""Files that one run of git saves: between two the progress is told."""
_PACK_FROM = 200  # so many new files become one pack, not a file each
_ASKED = 100  # paths that are named to git one by one


class Index:
    """Paths are relative to `root`. While it is `first` contents go to `shared`, the objects of a workspace's sessions, else to
    `own`, those of this session."""

    def __init__(self, git: Git, root: Path, file: Path, own: Path, shared: Path) -> None:
        self._git, self.root, self.file, self._own, self._shared = git, root, file, own, shared
        self.first = not file.is_file()

    def begin(self) -> None:
        """Raises OSError."""
        self.file.with_name(self.file.name + ".lock").unlink(missing_ok=True)  # of a run that was killed

    def differing(self, beside: Beside, meanwhile: Callable[[], T]) -> tuple[dict[str, FileState | None], T]:
        """What is not as in the index, as it is there; and what `meanwhile` answers, which runs beside git."""
        if not self.root.is_dir():
            return {**self.states(None, beside)}, meanwhile()
        child = self._git.start(["diff-files", "-z"], self._env(), self.root)
        try:
            answer = meanwhile()
        finally:
            found = _names(self._git.finish(child))
        dirty: dict[str, FileState | None] = {}
        with _understood():
            for about, path in zip(found[::2], found[1::2], strict=True):  # ":MODE MODE ID ID LETTER"
                mode, _, blob, *_ = about[1:].split(" ")
                dirty[path] = FileState(beside.mode(path, int(mode, 8)), blob)
        return dirty, answer

    def names(self) -> set[str]:
        """All that is in the index."""
        return set(_names(self._git.run(["ls-files", "-z"], self._env(), self._cwd)))

    def states(self, paths: Sequence[str] | None, beside: Beside) -> dict[str, FileState]:
        """Those of the paths that are in the index, and what is below them; None: all."""
        states = {}
        with _understood():
            for line in self._listing(paths) if paths is None or paths else ():
                about, _, path = line.partition("\t")
                mode, blob, _ = about.split(" ")
                states[path] = FileState(beside.mode(path, int(mode, 8)), blob)
        return states

    def write(self, kept: Sequence[str], gone: Sequence[str], progress: Callable[[str], None]) -> None:
        """Save what these files hold now, and forget those that are gone. Raises SnapshotError."""
        if gone:
            removed = b"".join(b"0 %s\t%s\0" % (b"0" * 40, os.fsencode(path)) for path in gone)
            self._git.run(["update-index", "-z", "--index-info"], self._env(), self._cwd, removed)
        for start in range(0, len(kept), BATCH):
            self._add(kept[start : start + BATCH])
            if start + BATCH < len(kept):
                progress(f"Saving the files as they are now: {start + BATCH} of {len(kept)}")

    def _add(self, paths: Sequence[str], *, again: bool = True) -> None:
        """A file that git cannot read does not cost the others. Raises SnapshotError."""
        pack = ["-c", "core.bigFileThreshold=1"] if len(paths) > _PACK_FROM else []
        data = b"".join(os.fsencode(path) + b"\0" for path in paths)
        args = [*pack, "update-index", "--add", "--remove", "--replace", "-z", "--stdin"]
        try:
            self._git.run(args, self._env(), self._cwd, data)
        except SnapshotError:
            readable = [path for path in paths if self._can_be_read(path)] if again else paths
            if len(readable) == len(paths):
                raise
            self._add(readable, again=False)

    def _can_be_read(self, path: str) -> bool:
        try:
            if stat.S_ISREG(os.lstat(self.root / path).st_mode):
                with (self.root / path).open("rb") as file:
                    file.read(1)
        except FileNotFoundError:
            return True  # git takes note of that
        except OSError:
            return False
        return True

    @property
    def _cwd(self) -> Path:
        return self.root if self.root.is_dir() else self.file.parent

    def _listing(self, paths: Sequence[str] | None) -> list[str]:
        named = [os.fsencode(path) for path in paths or ()] if len(paths or ()) <= _ASKED else []
        return _names(self._git.run(["ls-files", "-s", "-z", "--", *named], self._env(), self._cwd))

    def _env(self) -> dict[str, str]:
        objects = self._shared if self.first else self._own
        tree = self.root if self.root.is_dir() else self._shared
        return self._git.environment(tree, self.file, objects)


@contextmanager
def _understood() -> Iterator[None]:
    """The first git of the PATH may be anything. Raises SnapshotError."""
    try:
        yield
    except ValueError:
        raise SnapshotError("git answers as no git does.", "Look at what `git` is in your PATH.") from None


def _names(data: bytes) -> list[str]:
    return [os.fsdecode(name) for name in data.split(b"\0") if name]
