"""Whether a Python plugin is made of what it may be made of: what is wrong with it is told here, not when it is used."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from kimi_agent.commands import Command
from kimi_agent.core.hook import Hook
from kimi_agent.plugin import Plugin

_TEXTS = ("name", "description", "version")
_TABLES = ("readers", "providers", "subcommands", "frontends", "workspaces", "mcp_servers")
_CALLED = ("readers", "providers", "subcommands", "workspaces")
_COMMAND = re.compile(r"\w[\w.:-]{0,63}\Z")


def check_shape(plugin: Plugin) -> None:
    """Raises TypeError for a field that does not hold what plugin.py says."""
    for field in fields(plugin):
        value = getattr(plugin, field.name)
        if field.name in _TEXTS:
            _demand(isinstance(value, str), field.name, "a text")
        elif field.name == "tools":
            _demand(value is None or callable(value), field.name, "a function")
        elif field.name in _TABLES:
            named = isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
            _demand(named, field.name, "a table by name")
            if field.name in _CALLED:
                _demand(all(map(callable, value.values())), field.name, "a table of functions")
        else:
            fits, what = _ITEMS[field.name]
            listed = isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(map(fits, value))
            _demand(listed, field.name, f"a list of {what}")


def _demand(holds: bool, field: str, what: str) -> None:
    if not holds:
        raise TypeError(f"its {field} is not {what}")


def _is_command(value: Any) -> bool:
    return isinstance(value, Command) and all(
        isinstance(name, str) and _COMMAND.match(name) for name in (value.name, *value.aliases)
    )


_ITEMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "gates": (callable, "functions"),
    "commands": (_is_command, "commands that can be typed"),
    "hooks": (lambda value: isinstance(value, Hook), "hooks"),
    "agents": (lambda value: isinstance(value, Path), "paths"),
    "skills": (lambda value: isinstance(value, Path), "paths"),
    "prompts": (lambda value: isinstance(value, Path), "paths"),
    "problems": (lambda value: isinstance(value, str), "texts"),
}
