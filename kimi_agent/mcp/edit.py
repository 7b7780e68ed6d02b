"""Changing a file of MCP servers: all else in it stays, order and layout too; a file that is not understood is not touched."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.project import project_root
from kimi_agent.mcp.document import Document, Table, parse_document, read_document
from kimi_agent.mcp.files import KEY, PROJECT_FILES, leads_to, local_file, project_files, user_file
from kimi_agent.mcp.splice import with_key, without_key
from kimi_agent.mcp.store import locked, write_whole

MEND = "Mend the file first; nothing was changed."
SCOPES = ("local", "project", "user")
"""Those with files of their own, in the order in which they hold."""


class Place:
    """Where servers of one scope are written: a file, and in `mcp-local.json` the part of one project."""

    def __init__(self, home: Path, scope: str, path: Path, root: str = "") -> None:
        self.home, self.scope, self.path, self._root = home, scope, path, root

    def entries(self) -> Mapping[str, Any]:
        """What is written there, as it is. Raises ConfigError."""
        document = read_document(self.path)
        return (_found(document, self._keys(document)) if document else None) or {}

    def put(self, name: str, entry: Mapping[str, Any]) -> bool:
        """Write an entry; whether there was one. Raises ConfigError for a file that cannot be read, understood or written."""

        def change(document: Document, keys: Sequence[str]) -> str | None:
            return _put(document, [*keys, name], dict(entry))

        return self._change(name, change)

    def remove(self, name: str) -> bool:
        """Whether there was one. Raises as `put`."""

        def change(document: Document, keys: Sequence[str]) -> str | None:
            entries = _found(document, keys)
            return without_key(document.text, entries, name) if entries is not None and name in entries else None

        return self._change(name, change)

    def enable(self, name: str, on: bool) -> bool:
        """Turn an entry on or off; whether there is one. Raises as `put`."""

        def change(document: Document, keys: Sequence[str]) -> str | None:
            entry = _found(document, [*keys, name])
            if entry is None:
                return None
            for key in [key for key in entry if key.lower() in ("enabled", "disabled")]:
                document = _again(document, without_key(document.text, entry, key))
                entry = _found(document, [*keys, name]) or Table()
            return document.text if on else with_key(document.text, entry, "enabled", False)

        return self._change(name, change)

    def _change(self, name: str, change: Callable[[Document, Sequence[str]], str | None]) -> bool:
        """Write the text that `change` makes; whether there was an entry of that name before."""
        try:
            with locked(self.home):
                document = _understood(self.path, self._root)
                keys = (
                    ["projects", _project_key(document.data.get("projects"), self._root), KEY] if self._root else [KEY]
                )
                there = name in (_found(document, keys) or ())
                text = change(document, keys)
                if text is not None and text != document.text:
                    _again(document, text)  # raises for what could not be read again, before it is written
                    write_whole(self.path, document.mark + text, self._mode())
                return there and text is not None
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror or error}") from None

    def _keys(self, document: Document) -> list[str]:
        """Where the servers stand in the document."""
        return ["projects", _project_key(document.data.get("projects"), self._root), KEY] if self._root else [KEY]

    def _mode(self) -> int:
        """Files of a project keep their mode: others may have to read them. The person's own are for nobody else."""
        if self.scope == "project" and self.path.exists():
            return self.path.stat().st_mode & 0o777
        return 0o600


def place_of(home: Path, folder: Path, scope: str) -> Place:
    """Where `add` writes to, for one of SCOPES."""
    if scope == "user":
        return Place(home, scope, user_file(home))
    root = os.path.realpath(project_root(folder))
    if scope == "local":
        return Place(home, scope, local_file(home), root)
    return Place(home, scope, Path(root) / PROJECT_FILES[-1])


def places(home: Path, folder: Path) -> list[Place]:
    """All that may hold servers for `folder`, in the order in which they hold."""
    local, user = place_of(home, folder, "local"), place_of(home, folder, "user")
    return [local, *(Place(home, "project", path) for path in project_files(home, folder)), user]


def _project_key(projects: Any, root: str) -> str:
    """How the project is called in the file; its real path where it is not there yet."""
    return next((path for path in projects if leads_to(path, root)), root) if isinstance(projects, dict) else root


def _understood(path: Path, root: str) -> Document:
    """Raises ConfigError for what could not be changed safely."""
    try:
        document = read_document(path)
    except ConfigError as error:
        raise ConfigError(str(error), error.hint or MEND) from None
    if document is None:
        return parse_document('{\n  "%s": {}\n}\n' % ("projects" if root else KEY), str(path))
    for repeated in document.repeated():
        raise ConfigError(repeated, MEND)
    return document


def _again(document: Document, text: str) -> Document:
    return replace(parse_document(text, document.name), mark=document.mark)


def _found(document: Document, keys: Sequence[str]) -> Table | None:
    """The table under these keys, if there is one."""
    table: Any = document.data
    for key in keys:
        table = table.get(key) if isinstance(table, Table) else None
    return table if isinstance(table, Table) else None


def _put(document: Document, keys: Sequence[str], value: Any) -> str:
    """The text with a value under these keys; tables on the way there are made. Raises ConfigError where one is none."""
    depth = len(keys) - 1
    while (table := _found(document, keys[:depth])) is None:
        depth -= 1
    if depth < len(keys) - 1 and table.get(keys[depth]) is not None:
        raise ConfigError(f'{document.place(table, keys[depth])}: "{keys[depth]}" must be an object', MEND)
    for key in reversed(keys[depth + 1 :]):
        value = {key: value}
    return with_key(document.text, table, keys[depth], value)
