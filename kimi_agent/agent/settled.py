"""Paths of a call lead where they led when it was permitted, whatever a process does to a link meanwhile."""

from pathlib import Path
from typing import Any, cast

from kimi_agent.core.workspace import Workspace


class Settled:
    """A workspace in which each path is resolved once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[str, Path] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workspace, name)

    def resolve(self, path: str) -> Path:
        if path not in self._known:
            self._known[path] = self._workspace.resolve(path)
        return self._known[path]


def settled(workspace: Workspace) -> Workspace:
    return cast(Workspace, Settled(workspace))
