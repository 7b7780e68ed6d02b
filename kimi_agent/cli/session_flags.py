"""The options of a session on the line of a subcommand that opens some: `kimi --yolo web`, `kimi web --yolo`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError


def session_options(ctx: typer.Context, root: Any) -> tuple[dict[str, list[str]], Options]:
    """The options that were given, as words by name, and what they say. `root` is the parser of the program.

    Raises ConfigError for a command in their place, and for options that contradict one another.
    """
    return parsed([*flat(given_words(root, ctx.find_root())), *ctx.args], root, ctx.command_path)


def parsed(words: Sequence[str], root: Any, name: str) -> tuple[dict[str, list[str]], Options]:
    """What the words on the line of the subcommand `name` say; as above."""
    own = root.make_context("kimi", list(words))
    if own.args or own._protected_args:
        raise ConfigError(f"{name} takes the options of a session, no command")
    flags = given_words(root, own)
    options = Options(**{p.name: _value(p, own.params[p.name]) for p in root.params if p.name in flags})
    options.check()
    return flags, options


def flat(flags: Mapping[str, Sequence[str]]) -> list[str]:
    return [word for words in flags.values() for word in words]


def given_words(root: Any, ctx: Any) -> dict[str, list[str]]:
    """The options that the command line of this context names, as words again."""
    found = {}
    for parameter in root.params if ctx else ():
        source = ctx.get_parameter_source(parameter.name)
        if source is not None and source.name == "COMMANDLINE":
            found[parameter.name] = _words(parameter, ctx.params[parameter.name])
    return found


def _words(parameter: Any, value: Any) -> list[str]:
    if parameter.is_flag:
        return [(parameter.opts if value else parameter.secondary_opts)[-1]]
    name = next(option for option in parameter.opts if option.startswith("--"))
    return [f"{name}={one}" for one in (value if parameter.multiple else [value])]


def _value(parameter: Any, value: Any) -> Any:
    """What Typer makes of it: a flag for a path is one."""
    if parameter.type.name not in ("path", "file", "directory"):
        return value
    return [Path(one) for one in value] if parameter.multiple else Path(value)
