"""Whether a rule is about a call: widely for those that forbid or ask, narrowly for those that allow."""

import os
import shutil
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall, parse_arguments
from kimi_agent.rules import commands
from kimi_agent.rules.lexer import Command
from kimi_agent.rules.rule import Rule
from kimi_agent.rules.scan import scan
from kimi_agent.rules.targets import (
    host_allowed,
    host_forbidden,
    host_of,
    hosts_in,
    path_allowed,
    path_forbidden,
    tool_matches,
    widening_matches,
    within_reach,
)

MANY_WORDS = 2000
"""Words of a command that are looked at as paths; of a line with more, rules about paths may be about it."""
_PATH_ARGUMENTS = ("path", "file_path", "directory", "pattern")


class Place(Struct, frozen=True):
    """Where a session works: `root` is its folder, real; relative patterns are below it."""

    root: str


def names_tool(rule: Rule, call: ToolCall) -> bool:
    return rule.tool == call.name.casefold() or ("*" in rule.tool and fnmatchcase(call.name.casefold(), rule.tool))


# --- rules that forbid or ask ------------------------------------------------------------------------------------------


def concerns(rule: Rule, call: ToolCall, effects: Sequence[Effect], place: Place) -> bool | None:
    """Whether a rule that forbids or asks is about a call: True, False, or None where only the run can tell."""
    if rule.decision == "allow":
        return False
    if rule.argument is None and rule.kind != "mcp":
        return names_tool(rule, call) or (rule.kind == "widen" and any(e.kind == "widen" for e in effects))
    answers = [_concerns(rule, call, effect, place) for effect in effects]
    return True if True in answers else None if None in answers else False


def _concerns(rule: Rule, call: ToolCall, effect: Effect, place: Place) -> bool | None:
    argument = rule.argument or "*"
    if effect.kind == "run":
        return _concerns_command(rule, argument, effect, place)
    if effect.kind != rule.kind:
        return False
    match effect.kind:
        case "read" | "write":
            paths = (effect.target, *_as_written(call, place), *_other_names(rule, argument, effect.target))
            return any(path_forbidden(argument, path, place.root) for path in paths)
        case "fetch":
            return host_forbidden(argument, host_of(effect.target)) or host_allowed(argument, effect.target)
        case "mcp":
            return tool_matches(argument, effect.target, widely=True)
        case "widen":
            return widening_matches(argument, effect.target, place.root, widely=True)
        case _:
            return False


def _other_names(rule: Rule, argument: str, target: str) -> list[str]:
    """Other names of a file, hard links, among those that a built-in rule guards."""
    try:
        found = os.stat(target)  # noqa: PTH116
        if rule.scope != "built-in" or rule.files_only or found.st_nlink < 2:
            return []
        with os.scandir(os.path.dirname(argument)) as entries:  # noqa: PTH120
            return [entry.path for entry in entries if entry.inode() == found.st_ino and entry.is_file()]
    except OSError:
        return []


def _as_written(call: ToolCall, place: Place) -> list[str]:
    """The paths of a call as the model wrote them, links not followed."""
    try:
        given: dict[str, Any] = parse_arguments(call.arguments)
    except ValueError:
        return []
    written = [value for key in _PATH_ARGUMENTS if isinstance(value := given.get(key), str) and "\0" not in value]
    return [os.path.normpath(os.path.join(place.root, os.path.expanduser(path))) for path in written]  # noqa: PTH111, PTH118


def _concerns_command(rule: Rule, argument: str, effect: Effect, place: Place) -> bool | None:
    found = scan(effect.target)
    match rule.kind:
        case "run":
            maybe = False
            for command in found.commands:
                said = commands.forbids(argument, command)
                if said:
                    return True
                maybe = maybe or said is None
            return None if maybe else False
        case "read" | "write":
            return _reaches(rule, argument, effect, place)
        case "fetch":
            return any(host_forbidden(argument, host) for host in hosts_in(effect.target))
        case _:
            return False


def _reaches(rule: Rule, argument: str, effect: Effect, place: Place) -> bool | None:
    """Whether a command names what a rule about paths is about. What it only names it may not write: that is asked for.

    Output to a place that only the run can tell counts as written there, but for built-in rules: what they guard is rarely meant.
    """
    found, folder = scan(effect.target), effect.cwd or place.root
    written = _names_any(argument, found.targets, folder, place.root)
    if written or (written is None and rule.scope != "built-in"):
        return True
    if rule.files_only:
        return written
    if len(found.words) > MANY_WORDS:
        return None
    if _names_any(argument, found.words, folder, place.root) is False:
        return False
    return None if rule.kind == "write" else True


def _names_any(argument: str, words: Iterable[str], folder: str, root: str) -> bool | None:
    answers = {within_reach(argument, word, folder, root) for word in words}
    return True if True in answers else None if None in answers else False


# --- rules that allow -------------------------------------------------------------------------------------------------


def allows(
    rule: Rule, effect: Effect, place: Place, call: ToolCall | None = None, *, command: Command | None = None
) -> bool:
    """Whether a rule allows an effect, or of a command line the one `command`."""
    if rule.kind != effect.kind or (rule.cwd and rule.cwd != place.root):
        return False
    if call is not None and rule.kind in ("read", "write") and not names_tool(rule, call):
        return False
    argument = rule.argument
    match effect.kind:
        case "run":
            return command is not None and _allows_command(rule, command, effect.cwd or place.root, place)
        case _ if argument is None:
            return True
        case "read" | "write":
            return path_allowed(argument, effect.target, place.root)
        case "fetch":
            return host_allowed(argument, effect.target)
        case "mcp":
            return tool_matches(argument, effect.target, widely=False)
        case "widen":
            return widening_matches(argument, effect.target, place.root, widely=False)
        case _:
            return False


def _allows_command(rule: Rule, command: Command, cwd: str, place: Place) -> bool:
    if rule.argument is not None and not commands.allows(rule.argument, command.words):
        return False
    if (
        rule.cwd
        and os.path.realpath(cwd) != rule.cwd
        and not os.path.realpath(cwd).startswith(rule.cwd.rstrip("/") + "/")
    ):
        return False
    if not rule.exe:
        return True
    word = command.words[0]
    found = shutil.which(os.path.join(cwd, word) if "/" in word else word)  # noqa: PTH118
    return found is not None and os.path.realpath(found) == rule.exe
