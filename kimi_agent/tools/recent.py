"""Found files in a useful order."""

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path

from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import Workspace

_MOST = 5000
"""Above this many files their times are not looked up, and they come by path: who gets so many has to narrow anyway."""


async def newest_first(workspace: Workspace, base: Path, paths: Iterable[bytes]) -> list[bytes]:
    """Paths (relative to `base`) by time of change, newest first; those of the same time by path."""
    ordered = sorted(paths, key=lambda path: path.split(b"/"))
    if len(ordered) > _MOST:
        return ordered
    times: dict[bytes, float] = {}
    for number, path in enumerate(ordered):
        if number % 500 == 499:
            await asyncio.sleep(0)  # the screen gets its turn
        try:
            stat = await workspace.stat(base / os.fsdecode(path))
        except WorkspaceError:
            stat = None
        times[path] = stat.mtime if stat else 0.0
    return sorted(ordered, key=lambda path: -times[path])
