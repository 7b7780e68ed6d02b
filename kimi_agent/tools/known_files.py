"""What a session knows of files: which content it has seen, which changes were approved, who is writing."""

import asyncio
import hashlib
from collections import OrderedDict
from pathlib import Path
from weakref import WeakValueDictionary

from msgspec import Struct

from kimi_agent.core.display import Diff
from kimi_agent.core.errors import StaleFileError
from kimi_agent.core.workspace import Stat

_PENDING = 64
"""Approved changes remembered; one whose call was denied is never asked for again."""


class Change(Struct, frozen=True):
    """What an edit will do to the file at `path`, which is in state `expect` (None: it does not exist)."""

    path: Path
    expect: Stat | None
    before: bytes
    after: bytes
    diff: Diff
    summary: str


class KnownFiles:
    """Shared by the tools of one session that read and write files."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[str, str]] = {}  # path -> (key, digest)
        self._locks: WeakValueDictionary[Path, asyncio.Lock] = WeakValueDictionary()
        self._approved: OrderedDict[str, tuple[Path, str, list[str]]] = OrderedDict()

    def lock(self, path: Path) -> asyncio.Lock:
        """Held from reading a file to having written it, so that of two edits the second builds on the first."""
        return self._locks.setdefault(path, asyncio.Lock())

    def saw(self, path: Path, stat: Stat, data: bytes | None) -> None:
        """`data` is the whole content at `path`, read in state `stat` or written just now; None when it was too large."""
        self._seen[path] = (stat.key, "" if data is None else _digest(data))

    def knows(self, path: Path) -> bool:
        """Whether the session has read or written the file, in whatever state it was then."""
        return path in self._seen

    def check_fresh(self, path: Path, stat: Stat | None, data: bytes, shown: str) -> None:
        """Raises StaleFileError when the file has another content than the session saw last."""
        if (seen := self._seen.get(path)) is None:
            return
        if stat is None:
            raise StaleFileError(f"{shown} has been deleted since you read it.")
        if stat.key != seen[0] and _digest(data) != seen[1]:
            raise StaleFileError(f"{shown} has changed since you read it. Read it again before you edit it.")

    def approve(self, call_id: str, change: Change) -> None:
        """A person is shown this change; `check_approved` then holds the call to it."""
        self._approved[call_id] = (change.path, _digest(change.before), changed_lines(change.diff))
        while len(self._approved) > _PENDING:
            self._approved.popitem(last=False)

    def check_approved(self, call_id: str, change: Change, shown: str) -> None:
        """Raises StaleFileError when the change is not the one that was shown.

        The same lines at another place are the same change if the session itself moved them by an earlier edit.
        """
        if (approved := self._approved.pop(call_id, None)) is None:
            return
        path, before, lines = approved
        own = (seen := self._seen.get(path)) is not None and seen[1] == _digest(change.before)
        if path == change.path and (_digest(change.before) == before or (own and lines == changed_lines(change.diff))):
            return
        raise StaleFileError(f"{shown} changed while the edit waited for approval. Read it again and repeat the edit.")


def changed_lines(diff: Diff) -> list[str]:
    return [line for line in diff.unified.split("\n")[2:] if line[:1] in ("+", "-")]


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
