"""Paths as people and models read them."""

import difflib
from pathlib import Path

from kimi_agent.core.errors import WorkspaceError
from kimi_agent.core.workspace import Workspace


def shown(path: Path, workspace: Workspace) -> str:
    """Relative to the workspace's root where it lies inside, else whole."""
    return str(path.relative_to(workspace.root)) if path.is_relative_to(workspace.root) else str(path)


async def missing(path: Path, workspace: Workspace) -> WorkspaceError:
    """The error for a file that is not there, with the names in its folder that come close."""
    message = f"No such file: {shown(path, workspace)}."
    try:
        names = {entry.name.lower(): entry for entry in await workspace.list(path.parent)}
    except WorkspaceError:
        return WorkspaceError(f"{message[:-1]} (its folder does not exist either).")
    close = difflib.get_close_matches(path.name.lower(), names, 3, 0.6)
    if close:
        message += f" Did you mean {' or '.join(shown(names[name], workspace) for name in close)}?"
    return WorkspaceError(message)
