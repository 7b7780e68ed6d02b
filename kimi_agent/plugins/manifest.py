"""A folder plugin's `plugin.json`: kimi-cli's format (command tools), and the bundles of kimi-code and Claude Code."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from kimi_agent.agent.tool_names import OURS
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.hook import Hook
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.plugins.bundle import folders, from_json, hooks, inside, mcp_servers

FILES = ("plugin.json", "kimi.plugin.json", ".kimi-plugin/plugin.json", ".claude-plugin/plugin.json")
"""Where the manifest may stand; the first one that exists holds."""
SIZE_LIMIT = 1 << 20
"""Bytes of a manifest."""
LINE = 200
"""Characters of a description: the model reads all of them in every request."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}\Z")
_DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))])
_USED = frozenset(
    ("name", "version", "description", "tools", "inject", "config_file", "skills", "agents", "commands", "hooks")
) | {"mcpServers", "mcp_servers"}
_ABOUT = frozenset(
    ["author", "homepage", "license", "keywords", "repository", "interface", "runtime", "$schema", "displayName"]
)


class CommandSpec(msgspec.Struct, frozen=True):
    """A tool that is a command: its arguments go to stdin as JSON, its stdout is the result."""

    name: str
    description: str
    command: tuple[str, ...]
    parameters: Mapping[str, Any]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a folder offers. `problems` were left out, `notes` are keys that mean nothing here.

    `inject` maps keys of the file `config_file` (dotted) to `api_key` or `base_url`, which the plugin would like to have.
    """

    folder: Path
    name: str
    version: str = ""
    description: str = ""
    config_file: str = ""
    inject: Mapping[str, str] = {}
    tools: Sequence[CommandSpec] = ()
    skills: Sequence[Path] = ()
    agents: Sequence[Path] = ()
    prompts: Sequence[Path] = ()
    hooks: Sequence[Hook] = ()
    mcp_servers: Mapping[str, Mapping[str, Any]] = {}
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


def manifest_file(folder: Path) -> Path | None:
    return next((folder / name for name in FILES if os.path.isfile(f"{folder}/{name}")), None)  # noqa: PTH113 - at every start


def is_device(name: str) -> bool:
    """Whether Windows takes a file of that name for a device."""
    return name.split(".")[0].strip().lower() in _DEVICES


def check_name(name: str) -> str:
    """`name` when a plugin can be called that. Raises ConfigError."""
    device = is_device(name)
    if not _NAME.match(name) or ".." in name or name.endswith((".", ".json")) or device or name == "kimi":
        raise ConfigError(
            f"a plugin cannot be called {visible(plain(name))[:80]!r}", "Letters, digits, _ - and . make a name."
        )
    return name


def one_line(text: Any, size: int = LINE) -> str:
    """A stranger's text as one line without anything hidden; empty for what is no text."""
    line = visible(" ".join(plain(text).split())) if isinstance(text, str) else ""
    return line if len(line) <= size else line[: size - 1] + "…"


def read_manifest(folder: Path) -> Manifest:
    """What the plugin in `folder` offers. Raises ConfigError when its manifest cannot be read or has no proper name."""
    data = _load(folder)
    name = data.get("name")
    if not isinstance(name, str):
        raise ConfigError("its manifest says no name")
    check_name(name)
    problems: list[str] = []
    inject = data.get("inject") or {}
    config_file = data.get("config_file") or ""
    if not (isinstance(inject, dict) and all(isinstance(value, str) for value in inject.values())):
        inject = _left_out(problems, "inject is no table of names")
    if inject and not (isinstance(config_file, str) and inside(folder, config_file)):
        inject = _left_out(problems, "inject needs a config_file in the plugin's folder")
    unknown = sorted(str(key) for key in data.keys() - _USED - _ABOUT)
    return Manifest(
        folder=folder,
        name=name,
        version=one_line(str(data.get("version") or ""), 40),
        description=one_line(data.get("description")),
        config_file=config_file if inject else "",
        inject=inject,
        tools=_tools(data.get("tools") or [], problems),
        skills=folders(folder, data.get("skills"), "skills", problems),
        agents=folders(folder, data.get("agents"), "agents", problems),
        prompts=folders(folder, data.get("commands"), "commands", problems),
        hooks=hooks(folder, data.get("hooks"), problems),
        mcp_servers=mcp_servers(folder, data.get("mcpServers", data.get("mcp_servers")), problems),
        problems=problems,
        notes=[f"the key {one_line(key, 40)!r} means nothing here" for key in unknown],
    )


def _load(folder: Path) -> dict[str, Any]:
    file = manifest_file(folder)
    if file is None:
        raise ConfigError("it has no plugin.json")
    try:
        with file.open("rb") as opened:
            text = opened.read(SIZE_LIMIT + 1)
        if len(text) > SIZE_LIMIT:
            raise ConfigError(f"its {file.name} is larger than {SIZE_LIMIT >> 20} MB")
        data = from_json(text)
    except OSError as error:
        raise ConfigError(f"its {file.name} cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"its {file.name} is no JSON: line {error.lineno}: {error.msg}") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"its {file.name} is no JSON") from None
    if not isinstance(data, dict):
        raise ConfigError(f"its {file.name} is no JSON object")
    return data


def _left_out(problems: list[str], why: str) -> dict[str, str]:
    problems.append(why)
    return {}


def _tools(given: Any, problems: list[str]) -> list[CommandSpec]:
    if not isinstance(given, list):
        problems.append("tools is no list")
        return []
    found: dict[str, CommandSpec] = {}
    for number, entry in enumerate(given, 1):
        tool = _tool(entry)
        if isinstance(tool, str):
            problems.append(f"its tool number {number} is left out: {tool}")
        elif tool.name in found:
            problems.append(f"its tool number {number} is left out: there is a {tool.name} before it")
        elif tool.name in OURS:
            problems.append(f"its tool {tool.name} is left out: there is one of that name already.")
        else:
            found[tool.name] = tool
    return list(found.values())


def _tool(entry: Any) -> CommandSpec | str:
    """The tool, or what is wrong with it."""
    if not isinstance(entry, dict):
        return "it is no table"
    name, command, parameters = entry.get("name"), entry.get("command"), entry.get("parameters") or {}
    if not isinstance(name, str) or not _TOOL_NAME.match(name):
        return f"{one_line(str(name), 60)!r} is no name that models can call"
    words = command if isinstance(command, list) else []
    if not words or not all(isinstance(word, str) and "\0" not in word for word in words) or not words[0]:
        return f"the command of {name} is no list of words"
    if not isinstance(parameters, dict):
        return f"the parameters of {name} are no JSON Schema"
    return CommandSpec(name, one_line(entry.get("description")), tuple(words), parameters)
