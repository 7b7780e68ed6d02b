"""ripgrep as Grep and Glob use it: found, run in the workspace, its output taken in while it comes."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from kimi_agent.core.workspace import Workspace

TIME_LIMIT_S = 20.0
BASE = ("--no-config", "--no-require-git", "--no-messages", "--hidden", "--glob", "!.git", "--color", "never", "--null")
"""Hidden files are searched; .gitignore holds outside of a repository, too; the user's ripgrep config is not read."""

_MAX_BYTES = 20_000_000


@cache
def find_ripgrep() -> tuple[str, ...]:
    """The command to run: ripgrep as installed with this program, else the one on PATH, else our own in Python."""
    beside = Path(sys.executable).with_name("rg")  # a virtual environment's own folder of programs
    found = str(beside) if os.access(beside, os.X_OK) else _installed() or shutil.which("rg")
    return (found,) if found else python_ripgrep()


def _installed() -> str | None:
    """Where pip put it outside of a virtual environment."""
    import importlib.metadata

    try:
        files = importlib.metadata.files("ripgrep") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    places = (str(file.locate()) for file in files if file.name == "rg")
    return next((place for place in places if os.access(place, os.X_OK)), None)


def python_ripgrep() -> tuple[str, ...]:
    return (
        sys.executable,
        "-P",
        "-m",
        "kimi_agent.tools.pyrg",
    )  # -P: a module in the searched folder is never imported


class Rows:
    """Output split at `separator`; `rest` is what followed the last one.

    `complete` is False when it was cut short, for time, size or because it was enough.
    """

    def __init__(self, separator: bytes, wanted: int | None, keep: Callable[[bytes], bool]) -> None:
        """`keep` decides about rows as they come; what it drops does not count."""
        self.rows: list[bytes] = []
        self._keep = keep
        self.complete = True
        self.timed_out = False
        self.code: int | None = None
        self._separator = separator
        self._wanted = wanted
        self.rest = b""
        self._size = 0

    def enough(self) -> bool:
        return self._size > _MAX_BYTES or (self._wanted is not None and len(self.rows) >= self._wanted)

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        *rows, self.rest = (self.rest + data).split(self._separator)
        self.rows += filter(self._keep, rows)


async def run_ripgrep(
    workspace: Workspace,
    command: Sequence[str],
    cwd: Path,
    separator: bytes,
    wanted: int | None = None,
    keep: Callable[[bytes], bool] = lambda row: True,
) -> Rows:
    """Stops when `wanted` rows are there (None: all), when there is too much, or after `TIME_LIMIT_S`."""
    rows = Rows(separator, wanted, keep)
    run: asyncio.Task[object]

    def on_output(data: bytes) -> None:
        if not rows.enough():
            rows.feed(data)
            if rows.enough():
                run.cancel()

    run = asyncio.ensure_future(_run(workspace, command, cwd, on_output, rows))
    try:
        await run
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if not rows.enough() or (current is not None and current.cancelling()):
            raise
        rows.complete = False
    rows.complete = rows.complete and not rows.timed_out
    return rows


async def _run(
    workspace: Workspace, command: Sequence[str], cwd: Path, on_output: Callable[[bytes], None], rows: Rows
) -> None:
    ended = await workspace.run(command, cwd=cwd, env={}, timeout=TIME_LIMIT_S, on_output=on_output)
    rows.code = ended.code
    rows.timed_out = ended.timed_out


def shown_path(path: Path, root: Path) -> str:
    """As the model may pass it on: relative to the workspace where it lies inside, else absolute."""
    if path == root:
        return "."
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def printable(path: bytes) -> str:
    return path.decode("utf-8", "replace")
