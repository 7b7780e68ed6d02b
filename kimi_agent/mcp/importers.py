"""Servers in the files of other programs: found, and put into our form. Nothing is written here."""

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.project import project_root
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.mcp.definition import Scope, Server
from kimi_agent.mcp.document import read_document
from kimi_agent.mcp.entry import EntryError, parse_entry
from kimi_agent.mcp.show import as_entry

_INPUT = re.compile(r"\$\{input:([^}]*)\}")
_TABLES = ("mcpServers", "servers", "mcp_servers")


class Step(Struct, frozen=True):
    """One server of another program: the one that would be written to `scope`, or in `note` why there is none."""

    name: str
    source: str
    scope: Scope
    server: Server | None = None
    note: str = ""


def steps(source: str, user: Path, folder: Path, env: Mapping[str, str]) -> list[Step]:
    """What a program of SOURCES has, or a file; with "" what all of them have.

    Raises ConfigError for a source that is neither, and for a file that was named and cannot be read.
    """
    if source in SOURCES:
        return list(SOURCES[source](user, folder, env))
    if source:
        path = Path(source).expanduser()
        if not path.exists():
            raise ConfigError(f"there is no file {source}", f"Or one of: {', '.join(SOURCES)}.")
        return list(_of_file(path, "user", folder, told=False))
    return [step for read in SOURCES.values() for step in read(user, folder, env)]


def _claude(user: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Step]:
    """Both the person's own, and those that they keep for this project alone."""
    given = env.get("CLAUDE_CONFIG_DIR")
    path = (Path(given) if given else user) / ".claude.json"
    try:
        data = _json(path)
    except ConfigError as error:
        yield Step("", str(path), "user", note=str(error))
        return
    yield from _entries(data.get("mcpServers"), path, "user", folder)
    projects = data.get("projects")
    for place in dict.fromkeys((str(folder), str(project_root(folder)))):
        project = projects.get(place) if isinstance(projects, dict) else None
        yield from _entries(project.get("mcpServers") if isinstance(project, dict) else None, path, "local", folder)


def _cursor(user: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Step]:
    yield from _of_file(user / ".cursor" / "mcp.json", "user", folder)
    yield from _of_file(project_root(folder) / ".cursor" / "mcp.json", "local", folder)


def _vscode(user: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Step]:
    mac = user / "Library" / "Application Support"
    settings = mac if sys.platform == "darwin" else Path(env.get("XDG_CONFIG_HOME") or user / ".config")
    yield from _of_file(settings / "Code" / "User" / "mcp.json", "user", folder)
    yield from _of_file(project_root(folder) / ".vscode" / "mcp.json", "local", folder)


def _codex(user: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Step]:
    yield from _of_file(Path(env.get("CODEX_HOME") or user / ".codex") / "config.toml", "user", folder)


def _kimi_cli(user: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Step]:
    yield from _of_file(Path(env.get("KIMI_SHARE_DIR") or user / ".kimi") / "mcp.json", "user", folder)


def _kimi_code(user: Path, folder: Path, env: Mapping[str, str]) -> Iterator[Step]:
    yield from _of_file(Path(env.get("KIMI_CODE_HOME") or user / ".kimi-code") / "mcp.json", "user", folder)


SOURCES: dict[str, Callable[[Path, Path, Mapping[str, str]], Iterator[Step]]] = {
    "claude": _claude,
    "cursor": _cursor,
    "vscode": _vscode,
    "codex": _codex,
    "kimi-cli": _kimi_cli,
    "kimi-code": _kimi_code,
}
"""By the word that `kimi mcp import` takes."""


def _of_file(path: Path, scope: Scope, folder: Path, *, told: bool = True) -> Iterator[Step]:
    """`told`: a file that cannot be read becomes a step without a server; else ConfigError is raised."""
    try:
        data = _toml(path) if path.suffix == ".toml" else _json(path)
    except ConfigError as error:
        if not told:
            raise
        yield Step("", str(path), scope, note=str(error))
        return
    yield from _entries(next((data[key] for key in _TABLES if key in data), None), path, scope, folder)


def _json(path: Path) -> Mapping[str, Any]:
    """The quick reader first: these files may hold megabytes of other things."""
    try:
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        document = read_document(path, comments=True)
        return document.data if document else {}


def _toml(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _entries(found: Any, path: Path, scope: Scope, folder: Path) -> Iterator[Step]:
    for name, entry in found.items() if isinstance(found, dict) else ():
        yield _step(str(name), entry, path, scope, folder)


def _step(name: str, entry: Any, path: Path, scope: Scope, folder: Path) -> Step:
    asked: list[str] = []

    def asked_for(match: re.Match[str]) -> str:
        asked.append(re.sub(r"\W+", "_", match[1], flags=re.ASCII).upper().lstrip("0123456789") or "INPUT")
        return f"${{{asked[-1]}}}"

    try:
        server, notes = parse_entry(name, _placed(entry, asked_for, folder), scope=scope, source=str(path))
    except EntryError as fault:
        return Step(_shown(name), str(path), scope, note=f"left out: {_shown(str(fault))}")
    said = [f"asks for a value: set the variable {variable}" for variable in dict.fromkeys(asked)]
    if isinstance(entry, dict) and isinstance(entry.get("envFile"), str):
        said.append("its envFile is not read")
    said += [_shown(str(note)) for note in notes]
    kept, _ = parse_entry(name, as_entry(server), scope=scope, source=str(path))  # just what will be read from our file
    return Step(name, str(path), scope, kept, "; ".join(said))


def _placed(value: Any, asked_for: Callable[[re.Match[str]], str], folder: Path) -> Any:
    """Without what VS Code and Cursor fill in themselves: folders, and answers to questions."""
    if isinstance(value, str):
        text = value.replace("${workspaceFolder}", str(project_root(folder)))
        text = text.replace("${userHome}", os.path.expanduser("~"))  # noqa: PTH111
        return _INPUT.sub(asked_for, text)
    if isinstance(value, dict):
        return {key: _placed(item, asked_for, folder) for key, item in value.items()}
    return [_placed(item, asked_for, folder) for item in value] if isinstance(value, list) else value


def _shown(text: str) -> str:
    return visible(" ".join(plain(text).split()))[:200]


def same(one: Mapping[str, Any], server: Server) -> bool:
    """Whether an entry of our file says the same as `server`."""
    try:
        parsed, _ = parse_entry(server.name, one, scope=server.scope, source="")
    except EntryError:
        return False
    return json.dumps(as_entry(parsed), sort_keys=True) == json.dumps(as_entry(server), sort_keys=True)
