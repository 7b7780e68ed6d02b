"""What an agent is made of: the parts of the built-in plugin and of every other one, by name. The first one of a name holds."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct, field

from kimi_agent.agent.tool_names import OURS
from kimi_agent.core.ask import Allow, Deny
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.gate import Gate, Verdict
from kimi_agent.core.hook import Hook
from kimi_agent.core.message import ToolCall
from kimi_agent.core.provider import Endpoint, Model
from kimi_agent.core.reader import Reader
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.core.schema import tool_spec
from kimi_agent.core.tool import Tool
from kimi_agent.core.workspace import Workspace
from kimi_agent.plugin import Host, MakeProvider, MakeWorkspace, Plugin

if TYPE_CHECKING:
    from kimi_agent.commands import Command

T = TypeVar("T")

_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,127}\Z")
_TOLD = 500  # characters of a problem


class Parts(Struct):
    """The tables of all plugins together. `problems` tell the person what was left out and why."""

    plugins: list[Plugin] = field(default_factory=list)
    readers: dict[str, Reader] = field(default_factory=dict)
    providers: dict[str, MakeProvider] = field(default_factory=dict)
    workspaces: dict[str, MakeWorkspace] = field(default_factory=dict)
    frontends: dict[str, str] = field(default_factory=dict)
    commands: dict[str, "Command"] = field(default_factory=dict)
    mcp_servers: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    agents: list[Path] = field(default_factory=list)
    skills: list[Path] = field(default_factory=list)
    prompts: list[tuple[str, Path]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, plugin: Plugin) -> None:
        self.plugins.append(plugin)
        for text in plugin.problems:
            self._tell(plugin.name, text)
        tables: tuple[tuple[dict[str, Any], Mapping[str, Any], str], ...] = (
            (self.readers, plugin.readers, "reader"),
            (self.providers, plugin.providers, "provider type"),
            (self.workspaces, plugin.workspaces, "workspace"),
            (self.frontends, plugin.frontends, "front end"),
            (self.commands, {command.name: command for command in plugin.commands}, "command"),
            (self.mcp_servers, plugin.mcp_servers, "MCP server"),
        )
        for table, more, what in tables:
            self._merge(plugin.name, table, more, what)
        self.gates += [_guarded(plugin.name, gate) for gate in plugin.gates]
        self.hooks += [msgspec.structs.replace(h, source=f"plugin {plugin.name}") for h in plugin.hooks]  # type: ignore[type-var]
        self.agents += plugin.agents
        self.skills += plugin.skills
        self.prompts += [(plugin.name, path) for path in plugin.prompts]

    def tools(self, host: Callable[[str], Host], wanted: Callable[[str], bool]) -> list[Tool]:
        """Fresh tools of every plugin, in a fixed order; `host` answers what a plugin of that name is told.

        A plugin that fails is left out and told, and so is a tool that cannot be offered or whose name is taken. What a plugin
        prints goes to standard error: standard output is the answer's.
        """
        found: dict[str, Tool] = {}
        for plugin in self.plugins:
            if plugin.tools is None:
                continue
            try:
                with redirect_stdout(sys.stderr):
                    made = list(plugin.tools(host(plugin.name)))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # a stranger's code: it may even call sys.exit
                self._tell(plugin.name, f"its tools are left out: {type(error).__name__}: {error}")
                continue
            good = made if plugin is self.plugins[0] else self._good(plugin.name, made)  # the first is the built-in one
            self._merge(plugin.name, found, {tool.name: tool for tool in good if wanted(tool.name)}, "tool")
        return list(found.values())

    def _good(self, plugin: str, tools: Sequence[Tool]) -> Iterator[Tool]:
        """The tools that can be offered: one that cannot would cost every request, or the start."""
        for number, tool in enumerate(tools, 1):
            if fault := _fault(tool):
                self._tell(plugin, f"its tool number {number} is left out: {fault}")
            elif tool.name in OURS:
                self._tell(plugin, f"its tool {tool.name} is left out: there is one of that name already.")
            else:
                yield tool

    def provider(self, endpoint: Endpoint, model: Model) -> Any:
        """The provider of an endpoint's kind. Raises ConfigError for a kind that nobody offers."""
        make = self.providers.get(endpoint.kind)
        if make is None:
            known = ", ".join(sorted(self.providers))
            raise ConfigError(
                f"provider {endpoint.name!r} has the unknown type {endpoint.kind!r}.", f"Known types: {known}."
            )
        return make(endpoint, model)

    def workspace_of(self, name: str, extra_roots: Sequence[Path]) -> Callable[[Path], Workspace]:
        """What makes the workspace of a folder. Raises ConfigError for a name that nobody offers."""
        make = self.workspaces.get(name)
        if make is None:
            raise ConfigError(f"there is no workspace {name!r}", f"There are: {', '.join(sorted(self.workspaces))}.")
        return lambda folder: make(folder, extra_roots)

    def _merge(self, plugin: str, table: dict[str, T], more: Mapping[str, T], what: str) -> None:
        for name, value in more.items():
            if table.setdefault(name, value) is not value:
                self._tell(plugin, f"its {what} {name} is left out: there is one of that name already.")

    def _tell(self, plugin: str, text: str) -> None:
        line = f"Plugin {plugin}: {visible(' '.join(plain(text).split()))[:_TOLD]}"
        if line not in self.problems:
            self.problems.append(line)


def _guarded(plugin: str, gate: Gate) -> Gate:
    """A stranger's gate that fails refuses the call: it must not cost the turn, and what it guards stays guarded."""

    async def guarded(call: ToolCall, effects: Sequence[Effect]) -> Verdict | None:
        try:
            verdict = await gate(call, effects)
        except Exception as error:
            return Deny(f"a gate of the plugin {plugin} failed: {type(error).__name__}: {error}")
        if _is_verdict(verdict):
            return verdict
        return Deny(f"a gate of the plugin {plugin} gave no verdict but {verdict!r:.60}")

    return guarded


def _is_verdict(value: Any) -> bool:
    return value is None or value == "ask" or isinstance(value, Allow | Deny)


def _fault(tool: Any) -> str:
    """What is wrong with a stranger's tool, seen from outside; empty for a good one."""
    try:
        if not (isinstance(tool.name, str) and _TOOL_NAME.match(tool.name)):
            return f"{tool.name!r:.60} is no name that models can call"
        if not isinstance(tool.description, str):
            return f"{tool.name} has no description"
        if missing := [name for name in ("effects", "preview", "run") if not callable(getattr(tool, name, None))]:
            return f"{tool.name} has no {missing[0]}"
        if tool_spec(tool).schema.get("type") != "object":
            return f"the Params of {tool.name} are no Struct and no JSON Schema"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def assemble(builtin: Plugin, others: Sequence[Plugin]) -> Parts:
    parts = Parts()
    for plugin in (builtin, *others):
        parts.add(plugin)
    return parts
