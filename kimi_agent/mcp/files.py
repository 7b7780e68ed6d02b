"""Where MCP servers are written down: flags, files of the person and of the project, plugins. One bad entry costs only itself.

| scope | file | whose |
|---|---|---|
| flag | `--mcp-config-file FILE`, `--mcp-config JSON` | this run's |
| local | `$KIMI_HOME/mcp-local.json`: `{"projects": {"/root": {"mcpServers": {...}}}}` | the person's, for one project |
| project | `.mcp.json`, `.kimi/mcp.json`, `.kimi-code/mcp.json` of the folder and of its repository | a stranger's |
| user | `$KIMI_HOME/mcp.json` | the person's |
| plugin | its manifest | trusted with the plugin |

Of entries with one name the first of this order holds, as a whole.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.project import project_root
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.mcp.definition import Scope, Server
from kimi_agent.mcp.document import Document, Table, parse_document, read_document
from kimi_agent.mcp.entry import LONGEST_NAME, EntryError, parse_entry
from kimi_agent.mcp.names import word

PROJECT_FILES = (".kimi/mcp.json", ".kimi-code/mcp.json", ".mcp.json")
"""In one folder, the first of these holds; `add --scope project` writes the last."""
KEY = "mcpServers"
_OTHER_KEYS = ("servers", "mcp_servers", "mcpservers", "context_servers", "mcp")
MAX_SERVERS, MAX_PROBLEMS = 200, 100
"""Of one file, and of all. No person has more; a stranger's file may."""
_SHOWN = 500  # characters of a problem


class Flags(Struct, frozen=True):
    """`--mcp-config-file`, `--mcp-config`, and the names of `--trust-mcp`, which are approved for this run."""

    files: tuple[Path, ...] = ()
    texts: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises ConfigError for a flag that cannot be read: what is asked for in so many words is not passed over."""
        for document in self.documents():
            if isinstance(document, ConfigError):
                raise document

    def documents(self) -> Iterator[Document | ConfigError]:
        """The last flag first: it holds."""
        for text in reversed(self.texts):
            yield _text_of_flag(text)
        for path in reversed(self.files):
            try:
                found = read_document(path.expanduser(), only_regular=False)
                yield found or ConfigError(f"--mcp-config-file: there is no file {path}")
            except ConfigError as error:
                yield error


class Found(Struct, frozen=True):
    """`servers` are those that hold, in the order of precedence; `hidden` those of the same names that do not.

    `problems` are sentences for the person, each with its file and line. `unread` are files of the project that were not
    looked into.
    """

    servers: tuple[Server, ...] = ()
    problems: tuple[str, ...] = ()
    hidden: tuple[Server, ...] = ()
    unread: tuple[str, ...] = ()


def user_file(home: Path) -> Path:
    return home / "mcp.json"


def local_file(home: Path) -> Path:
    return home / "mcp-local.json"


def project_files(home: Path, folder: Path) -> Iterator[Path]:
    """The files that a project around `folder` may have, the nearest first. The person's own is none of them."""
    for near in dict.fromkeys((folder, project_root(folder))):
        for path in (near / name for name in PROJECT_FILES):
            if os.path.realpath(path) != os.path.realpath(user_file(home)):
                yield path


def find_servers(
    home: Path,
    folder: Path,
    flags: Flags = Flags(),  # noqa: B008 - immutable
    plugins: Mapping[str, Mapping[str, Any]] = {},
    *,
    project: bool = True,
) -> Found:
    """Every server that is written down for `folder` (real, absolute), by what holds. `project` False reads no file of a project.

    Never raises for what stands in a file: it becomes a problem, and the rest is found.
    """
    reading = _Reading()
    for found in flags.documents():
        reading.document(found, "flag")
    reading.local(home, folder)
    for path in project_files(home, folder) if project else ():
        reading.file(path, "project")
    if not flags.files:
        reading.file(user_file(home), "user")
    for name, entry in plugins.items():
        reading.entry(name, entry, "plugin", "a plugin", None)
    return reading.result()


class _Reading:
    """Gathers servers in the order in which they hold."""

    def __init__(self) -> None:
        self._found: dict[str, list[Server]] = {}
        self._problems: list[str] = []

    def file(self, path: Path, scope: Scope) -> None:
        try:
            found = read_document(path)
        except ConfigError as error:
            self.document(error, scope)
            return
        if found is not None:
            self.document(found, scope)

    def document(self, document: Document | ConfigError, scope: Scope) -> None:
        if isinstance(document, ConfigError):
            self._problems.append(document.full)
            return
        self._problems += islice(document.repeated(), MAX_PROBLEMS)
        self.servers(document, document.data, scope)

    def local(self, home: Path, folder: Path) -> None:
        """Of `mcp-local.json`, the part of this project."""
        try:
            document = read_document(local_file(home))
        except ConfigError as error:
            self._problems.append(error.full)
            return
        if document is None:
            return
        self._problems += islice(document.repeated(), MAX_PROBLEMS)
        projects = document.data.get("projects", {})
        if not isinstance(projects, Table):
            self._problems.append(f'{document.place(document.data, "projects")}: "projects" must be an object')
            return
        root = os.path.realpath(project_root(folder))
        for path, part in projects.items():
            if not leads_to(path, root):
                continue
            if isinstance(part, Table):
                self.servers(document, part, "local")
            else:
                self._problems.append(f"{document.place(projects, path)}: a project must be an object")

    def servers(self, document: Document, table: Table, scope: Scope) -> None:
        """`mcpServers` of a table, or what is to be done where it has another name."""
        if KEY not in table:
            self._problems += _misplaced(document, table)
            return
        entries = table[KEY]
        if not isinstance(entries, Table):
            self._problems.append(f'{document.place(table, KEY)}: "{KEY}" must be an object')
            return
        for name, entry in islice(entries.items(), MAX_SERVERS):
            self.entry(name, entry, scope, document.place(entries, name), document)
        if len(entries) > MAX_SERVERS:
            self._problems.append(f"{document.place(table, KEY)}: only the first {MAX_SERVERS} servers are read")

    def entry(self, name: str, entry: Any, scope: Scope, source: str, document: Document | None) -> None:
        def told(fault: EntryError, what: str) -> str:
            inside = isinstance(entry, Table) and fault.key in entry and document is not None
            place = document.place(entry, fault.key) if inside and document else source
            return f'{place}: MCP server "{name[:LONGEST_NAME]}"{what}: {fault}'

        try:
            server, notes = parse_entry(name, entry, scope=scope, source=source)
        except EntryError as fault:
            self._problems.append(told(fault, " is left out"))
            return
        self._problems += [told(note, "") for note in notes]
        self._found.setdefault(name, []).append(server)

    def _distinct(self, servers: Iterable[Server]) -> Iterator[Server]:
        """Two names that rules and models could not tell apart: one of the person's holds, then one written as it is called."""
        named = list(servers)
        words: dict[str, Server] = {}
        for server in sorted(named, key=lambda each: (each.scope == "project", each.name != word(each.name))):
            words.setdefault(word(server.name), server)
        for server in named:
            other = words[word(server.name)]
            if other is server:
                yield server
                continue
            what = f'its tools would be called as those of "{other.name}" ({other.scope}); give it another name'
            self._problems.append(f'{server.source}: MCP server "{server.name}" is left out: {what}')

    def result(self) -> Found:
        hidden = []
        for name, (first, *rest) in self._found.items():
            hidden += rest
            for other in rest:
                if _differ(first, other):
                    where = f"{other.source} ({other.scope})"
                    self._problems.append(f'{first.source}: MCP server "{name}" holds, not the other one of {where}')
        servers = tuple(self._distinct(first for first, *_ in self._found.values()))
        problems = list(dict.fromkeys(self._problems))
        more = [f"and {len(problems) - MAX_PROBLEMS} more problems"] if len(problems) > MAX_PROBLEMS else []
        return Found(servers, tuple(map(_shown, [*problems[:MAX_PROBLEMS], *more])), tuple(hidden))


def leads_to(path: str, root: str) -> bool:
    """Whether an absolute path is that of `root`, which is real."""
    try:
        return path.startswith("/") and os.path.realpath(path) == root
    except ValueError:  # a NUL, half a character
        return False


def _differ(one: Server, other: Server) -> bool:
    return replace(one, scope=other.scope, source=other.source) != other  # type: ignore[type-var]


def _misplaced(document: Document, table: Table) -> Iterator[str]:
    """The servers may stand under another program's key, or right at the top."""
    for key in _OTHER_KEYS:
        if isinstance(table.get(key), dict):
            yield f'{document.place(table, key)}: the servers stand under "{key}": rename it to "{KEY}"'
            return
    for key, value in table.items():
        if isinstance(value, dict) and value.keys() & {"command", "url"}:
            yield f'{document.place(table, key)}: the servers stand at the top: put them into {{"{KEY}": {{...}}}}'
            return


def _text_of_flag(text: str) -> Document | ConfigError:
    try:
        return parse_document(text, "--mcp-config")
    except ConfigError as error:
        hint = "" if text.lstrip().startswith("{") else "It takes JSON; --mcp-config-file takes a file."
        return ConfigError(str(error), hint)


def _shown(problem: str) -> str:
    return visible(" ".join(plain(problem[: 4 * _SHOWN]).split()))[:_SHOWN]
