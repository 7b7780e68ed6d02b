"""Which servers of a project a person has approved: `$KIMI_HOME/mcp-approvals.json`, by content.

An approval is for one definition, under one name, in one project (its root, by its real path). Whatever changes in what runs, or
in who is talked to, asks anew; the definition that was approved is kept, so that the difference can be shown.
"""

import json
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Any

from msgspec import ValidationError, convert

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.project import project_root
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.store import locked, write_whole

VERSION = 1
_LIMIT = 16_000_000  # bytes


def approvals_file(home: Path) -> Path:
    return home / "mcp-approvals.json"


class Approvals:
    """`project` is any folder of it. `trusted` are names that are approved for this run alone (`--trust-mcp`).

    What is read is kept until something is written: `fresh` looks again. Where the file is damaged, nothing is approved and
    `problem` says so; it is left as it is.
    """

    def __init__(self, home: Path, trusted: Collection[str] = ()) -> None:
        self._home, self._trusted = home, frozenset(trusted)
        self._projects: dict[str, Any] = {}
        self.problem = ""
        self.fresh()

    def fresh(self) -> None:
        try:
            self._projects = _read(approvals_file(self._home))["projects"]
            self.problem = ""
        except ConfigError as error:
            self._projects, self.problem = {}, error.full

    def holds(self, server: Server, project: Path) -> bool:
        """Whether it may be started. What the person has written or installed needs no approval."""
        if server.scope != "project" or server.name in self._trusted:
            return True
        return bool(self._entry(server.name, project).get("sha256") == server.digest)

    def known(self, project: Path) -> bool:
        """Whether anything of this project is approved: else, without a person, its files are not even read."""
        return bool(self._trusted or self._projects.get(_root(project)))

    def approve(self, server: Server, project: Path) -> None:
        """Raises ConfigError for a damaged file, or one that cannot be written."""
        entry = {"sha256": server.digest, "definition": json.loads(server.canonical())}
        self._change(server.name, project, entry)

    def revoke(self, name: str, project: Path) -> bool:
        """Whether there was an approval. Raises as `approve`."""
        return self._change(name, project, None)

    def approved(self, name: str, project: Path) -> Server | None:
        """The definition that was approved under this name, if any."""
        definition = self._entry(name, project).get("definition")
        try:
            return convert({**definition, "name": name, "scope": "project"}, Server) if definition else None
        except (ValidationError, TypeError):  # of a version that knew more
            return None

    def _entry(self, name: str, project: Path) -> dict[str, Any]:
        entry = self._projects.get(_root(project), {}).get(name)
        return entry if isinstance(entry, dict) else {}

    def _change(self, name: str, project: Path, entry: dict[str, Any] | None) -> bool:
        """Set or take away the approval of a name; whether there was one."""
        path, root = approvals_file(self._home), _root(project)
        try:
            with locked(self._home):
                data = _read(path)
                approved = data["projects"].setdefault(root, {})
                there = approved.pop(name, None) is not None
                if entry is not None:
                    approved[name] = entry
                if not approved:
                    del data["projects"][root]
                if there or entry is not None:
                    write_whole(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
        self.fresh()
        return there


def _root(project: Path) -> str:
    return os.path.realpath(project_root(Path(os.path.realpath(project))))


def _read(path: Path) -> dict[str, Any]:
    hint = "Move it away; kimi then asks anew about each server."
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return {"version": VERSION, "projects": {}}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}: no server is approved") from None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or about.st_uid not in (os.geteuid(), 0):
            raise ConfigError(
                f"others may write to {path}: no server is approved", f"Look at it, then: chmod 600 {path}"
            )
        try:
            data = json.loads(file.read(_LIMIT))
        except (ValueError, RecursionError, OSError):
            raise ConfigError(f"{path} is damaged: no server is approved", hint) from None
    projects = data.get("projects") if isinstance(data, dict) else None
    if not isinstance(projects, dict) or not all(isinstance(entry, dict) for entry in projects.values()):
        raise ConfigError(f"{path} is not what kimi wrote: no server is approved", hint)
    return dict(data)
