"""Programs of the system, whatever a command has put where the PATH looks first."""

import os
import shutil
from pathlib import Path

from kimi_agent.core.workspace import Workspace


def safe_path(workspace: Workspace) -> str:
    """The PATH without the folders that commands write: those of the workspace, and what is no absolute path."""
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(entry for entry in entries if os.path.isabs(entry) and not _is_theirs(entry, workspace))  # noqa: PTH117


def program(name: str, workspace: Workspace) -> str | None:
    """The absolute path of a program on the `safe_path`."""
    return shutil.which(name, path=safe_path(workspace))


def _is_theirs(entry: str, workspace: Workspace) -> bool:
    return workspace.contains(Path(os.path.realpath(entry)))
