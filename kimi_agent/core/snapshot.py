"""What is saved of files before the agent changes them, so that they can come back. `workspaces/snapshots.py` does it."""

import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

from kimi_agent.core.workspace import Workspace

UNSAVED = "unsaved:"
"""How the id of a content begins that is not kept: it is too large, cannot be read, or is no file (a pipe, a device)."""


class FileState(Struct, frozen=True):
    """What is at a path: its `st_mode`, and the id of its saved content (for a link of its target; empty for a folder)."""

    mode: int
    blob: str = ""

    @property
    def saved(self) -> bool:
        return not self.blob.startswith(UNSAVED)

    @property
    def kind(self) -> Literal["folder", "link", "program", "file", "other"]:
        if stat.S_ISDIR(self.mode):
            return "folder"
        if stat.S_ISLNK(self.mode):
            return "link"
        if not stat.S_ISREG(self.mode):
            return "other"
        return "program" if self.mode & 0o100 else "file"


class FileChange(Struct, frozen=True):
    """`path` is absolute, of what bytes ever (`os.fsdecode`). None: there is nothing."""

    path: str
    before: FileState | None
    after: FileState | None


class SnapshotUse(Struct, frozen=True):
    """`covers` says in words what is saved; `left_out` what is not, with the reasons; `size` is in bytes on the disk."""

    covers: str
    left_out: tuple[str, ...]
    size: int


class Snapshots(Protocol):
    """The saved files of one session. Every method that waits may raise SnapshotError, worded for people."""

    why_not_whole: str
    """Why `scan` cannot be used, so that only the files that are looked at by name are saved; empty where it can."""

    async def scan(self, progress: Callable[[str], None]) -> Sequence[FileChange]:
        """Save what differs from the last scan, and answer it. The first one saves the whole workspace and answers nothing."""
        ...

    async def look(self, paths: Sequence[str]) -> Sequence[FileState | None]:
        """What is at these paths now, its content saved."""
        ...

    async def save(self, changes: Sequence[FileChange]) -> str:
        """Keep a list of changes; answer its id."""
        ...

    async def load(self, record: str) -> Sequence[FileChange]: ...
    async def content(self, state: FileState | None) -> bytes | None:
        """The bytes of a file, the target of a link; None for what is not saved or holds nothing."""
        ...

    async def restore(self, changes: Sequence[FileChange]) -> Mapping[str, str]:
        """Make each path what its change says is `after`, where it still is what `before` says. Never follows a link.

        Answers why, by path, where that was not done.
        """
        ...

    async def begin(self, call_id: str, record: str) -> None:
        """Remember over a crash that a call acts whose files are saved in `record` (empty: the last scan)."""
        ...

    async def end(self, call_id: str) -> None: ...
    async def unfinished(self) -> Mapping[str, str]:
        """What `begin` was told and `end` was not, from this session's earlier life."""
        ...

    async def others(self, since: float) -> tuple[set[str], bool]:
        """What other kimis did since a time of the monotonic clock: files that they named, and whether one did more."""
        ...

    async def use(self) -> SnapshotUse: ...
    async def news(self) -> Sequence[str]:
        """What is left out and was never told to the person in this workspace; it is from now on."""
        ...

    def fork(self, session_id: str) -> None:
        """Give a new session all that this one has saved. Raises OSError."""
        ...

    def close(self) -> None:
        """End what runs. May be called at any time and more than once."""
        ...


MakeSnapshots: TypeAlias = Callable[[str, Workspace], Snapshots]
"""Makes what saves the files of a session, from its id and where its tools work."""


def same(one: FileState | None, other: FileState | None) -> bool:
    """Whether two states are the same content of the same kind; who may read it does not count."""
    if one is None or other is None:
        return one is other
    return one.kind == other.kind and one.blob == other.blob
