"""What other kimis on this machine do to files now: two may work in one folder, and neither takes back what is the other's.

Each writes, in one small file of its own, which of its calls act and since when. Times are of the machine's monotonic clock.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kimi_agent.workspaces.snapshot_git import replace_text

KEPT = 200
"""Calls that have ended and are still told of; a scan looks back no further than to the one before it."""


class Others:
    """`folder` is common to all workspaces: one may lie inside of another."""

    def __init__(self, folder: Path, session_id: str, roots: Sequence[Path]) -> None:
        self._folder, self._own, self._roots = folder, folder / session_id, [str(root) for root in roots]
        self._open: dict[str, tuple[float, list[str] | None]] = {}
        self._done: list[tuple[float, float, list[str] | None]] = []

    def begin(self, call_id: str, paths: list[str] | None) -> None:
        """A call acts, on these files; None: on any. Raises OSError."""
        self._open[call_id] = (time.monotonic(), paths)
        self._write()

    def end(self, call_id: str) -> None:
        """Raises OSError."""
        if (begun := self._open.pop(call_id, None)) is not None:
            self._done = [*self._done, (begun[0], time.monotonic(), begun[1])][-KEPT:]
            self._write()

    def since(self, then: float) -> tuple[set[str], bool]:
        """The files that others named since then, and whether one acted on files that it does not name."""
        named: set[str] = set()
        anything = False
        for acted in self._all():
            if acted["until"] < then:
                continue
            if acted["paths"] is not None:
                named.update(acted["paths"])
            else:
                anything = anything or any(_nested(one, other) for one in acted["roots"] for other in self._roots)
        return named, anything

    def close(self) -> None:
        with suppress(OSError):
            self._own.unlink()
            self._folder.rmdir()  # unless there is another one

    def _write(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        calls = [[begun, None, paths] for begun, paths in self._open.values()] + [list(done) for done in self._done]
        replace_text(self._own, json.dumps({"pid": os.getpid(), "roots": self._roots, "calls": calls}))

    def _all(self) -> Iterator[dict[str, Any]]:
        """What others did and do. The file of one that has died is thrown away when it is met."""
        with suppress(OSError):
            for path in self._folder.iterdir():
                if path == self._own:
                    continue
                with suppress(OSError, ValueError, KeyError, TypeError):
                    found = json.loads(path.read_text())
                    alive = _alive(int(found["pid"]))
                    for _, until, paths in found["calls"]:
                        now = time.monotonic() if alive else 0.0
                        yield {"until": now if until is None else until, "paths": paths, "roots": found["roots"]}
                    if not alive:
                        path.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _nested(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other.rstrip('/')}/") or other.startswith(f"{one.rstrip('/')}/")
