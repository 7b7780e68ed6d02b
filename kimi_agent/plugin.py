"""The one door for extensions: a `Plugin` is a value that says what it adds. The built-in parts come through it too.

A Python package offers one by the entry point group `kimi.plugins` (`name = "package:plugin"`, a `Plugin` or a function that
answers one). A folder offers one by its `plugin.json`. Both are described in docs/guides/plugins.md.

Loading a plugin must be quick: import what is heavy inside the functions, when they are called.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from kimi_agent.core.gate import Gate
from kimi_agent.core.hook import Hook
from kimi_agent.core.provider import Endpoint, Model, Provider
from kimi_agent.core.reader import Reader
from kimi_agent.core.secret import is_secret_path
from kimi_agent.core.tool import Tool
from kimi_agent.core.workspace import Workspace

if TYPE_CHECKING:
    from kimi_agent.commands import Command


@dataclass(frozen=True, slots=True)
class Host:
    """The session that tools are made for. `options` is the plugin's own table, `[plugins.NAME]` of config.toml.

    `folder` is the session's working folder, `home` is `$KIMI_HOME`; `allow_private` says that private network addresses may be
    fetched, `readers` are all readers by suffix, `services` the configured services (`moonshot_search`, ...) by name.
    `is_private` says which files (real paths) are kept from the model; `proved` answers how a command line is run that only
    reads, None for one that may do more.
    """

    model: Model
    folder: Path
    home: Path
    options: Mapping[str, Any] = field(default_factory=dict)
    allow_private: bool = False
    readers: Mapping[str, Reader] = field(default_factory=dict)
    services: Mapping[str, Any] = field(default_factory=dict)
    is_private: Callable[[str], bool] = is_secret_path
    proved: Callable[[str, Path], Sequence[str] | None] | None = None


MakeTools: TypeAlias = Callable[[Host], Iterable[Tool]]
"""Makes fresh tools for one session, always in the same order. A tool may have an `async def aclose(self)`."""
MakeProvider: TypeAlias = Callable[[Endpoint, Model], Provider]
MakeWorkspace: TypeAlias = Callable[[Path, Sequence[Path]], Workspace]
"""Makes the workspace of a folder, with more folders that it may work in."""
Subcommand: TypeAlias = Callable[[Sequence[str]], int]
"""Runs `kimi NAME ARGUMENTS...`; answers an exit code (core/exit.py). KimiErrors are told as one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """What a plugin adds. A name that is taken already stays what it is; the plugin's one is left out and told.

    `agents`, `skills` and `prompts` are folders, or single Markdown files: of subagent types, of skills, of custom commands,
    which are called `/command` and `/plugin:command`. `frontends` name
    their class as "module:Class". `readers` turn the bytes of a document into text, by suffix (".docx"). `problems` say for the
    person what of the plugin could not be loaded.
    """

    name: str
    description: str = ""
    version: str = ""
    tools: MakeTools | None = None
    readers: Mapping[str, Reader] = field(default_factory=dict)
    providers: Mapping[str, MakeProvider] = field(default_factory=dict)
    gates: Sequence[Gate] = ()
    commands: Sequence["Command"] = ()
    subcommands: Mapping[str, Subcommand] = field(default_factory=dict)
    frontends: Mapping[str, str] = field(default_factory=dict)
    workspaces: Mapping[str, MakeWorkspace] = field(default_factory=dict)
    hooks: Sequence[Hook] = ()
    agents: Sequence[Path] = ()
    skills: Sequence[Path] = ()
    prompts: Sequence[Path] = ()
    mcp_servers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Sequence[str] = ()
