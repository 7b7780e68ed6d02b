"""How files of ours beside mcp.json are written: under one lock, whole or not at all, for nobody else's eyes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kimi_agent.core import whole_file


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """One program at a time changes files of MCP servers. Raises OSError."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with whole_file.locked(home / ".mcp.lock"):
        yield


def write_whole(path: Path, text: str, mode: int = 0o600) -> None:
    """In a folder that is made where it is missing; a link stays one. Raises OSError."""
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    whole_file.write_whole(path, text, mode)
