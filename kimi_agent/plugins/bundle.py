"""The parts of a bundle: skills, agents and commands, hooks, MCP servers. What is wrong is named and left out."""

import json
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from kimi_agent.agent.tool_names import both_names, our_matcher
from kimi_agent.core.hook import HOOK_EVENTS, Hook

_ROOT = re.compile(r"\$\{(?:CLAUDE|KIMI)_PLUGIN_ROOT\}")
SKILL = "SKILL.md"
_LIMIT = 1 << 20  # bytes of a file with hooks or servers


def inside(folder: Path, path: str) -> Path | None:
    """`path` below `folder`, links resolved; None when it leads out of it."""
    if not path or "\0" in path or os.path.isabs(path):  # noqa: PTH117 - no object for what may be refused
        return None
    root = os.path.realpath(folder)
    real = os.path.realpath(os.path.join(root, path))  # noqa: PTH118
    return Path(real) if os.path.commonpath([root, real]) == root else None


def from_json(data: bytes) -> Any:
    """What a file in JSON holds. Raises ValueError, also for half a character (`\\ud800`): no request takes it."""
    text = data.decode("utf-8-sig")
    value = json.loads(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def folders(folder: Path, given: Any, usual: str, problems: list[str]) -> list[Path]:
    """The folders and Markdown files that a key names (a path or a list of them), else the usual folder when it is there.

    For a skill's own folder its SKILL.md stands; a plugin that has one at its root is a skill, too.
    """
    if given is None:
        own = [folder / SKILL] if usual == "skills" and _there(folder, SKILL, stat.S_ISREG) else []
        return [*own, folder / usual] if _there(folder, usual, stat.S_ISDIR) else own
    result = []
    for path in given if isinstance(given, list) else [given]:
        found = inside(folder, path) if isinstance(path, str) else None
        if found and found.is_dir():
            result.append(found / SKILL if usual == "skills" and (found / SKILL).is_file() else found)
        elif found and found.is_file() and found.suffix.lower() == ".md":
            result.append(found)
        else:
            problems.append(
                f"its {usual} {str(path)[:80]!r} are left out: the plugin has no such folder and no such Markdown file"
            )
    return result


def _there(folder: Path, name: str, kind: Callable[[int], bool]) -> bool:
    """Whether the plugin has a file or folder of that name, which is no link. Asked several times for every plugin."""
    try:
        return kind(os.lstat(f"{folder}/{name}").st_mode)
    except OSError:
        return False


def hooks(folder: Path, given: Any, problems: list[str]) -> list[Hook]:
    """kimi-cli's entries run in the plugin's folder; those of a hooks.json (Claude Code's form) run in the session's."""
    if given is None:
        given = next((name for name in ("hooks/hooks.json", "hooks.json") if _there(folder, name, stat.S_ISREG)), [])
    if isinstance(given, str):
        given = _file(folder, given, problems)
    if isinstance(given, dict) and isinstance(given.get("hooks"), dict | list):
        given = given["hooks"]
    found = []
    for entry, at in _entries(given):
        hook = _hook(entry, folder, at)
        if isinstance(hook, str):
            problems.append(f"a hook is left out: {hook}")
        else:
            found.append(hook)
    return found


def _entries(given: Any) -> Iterator[tuple[Any, bool]]:
    """Each hook as an entry of kimi-cli's form, and whether it runs in the plugin's folder."""
    if isinstance(given, list):
        yield from ((entry, True) for entry in given)
        return
    for event, groups in given.items() if isinstance(given, dict) else ():
        for group in groups if isinstance(groups, list) else [None]:
            about = group if isinstance(group, dict) else {}
            inner = about.get("hooks")
            for entry in inner if isinstance(inner, list) else [None]:
                if isinstance(entry, dict) and entry.get("type", "command") == "command":
                    yield {**entry, "event": event, "matcher": about.get("matcher", "")}, False
                else:
                    yield None, False


def in_folder(folder: Path) -> str:
    """What stands before the command of a hook that runs in the plugin's folder."""
    return f"cd {shlex.quote(str(folder))} || exit\n"


def _hook(entry: Any, folder: Path, at: bool) -> Hook | str:
    """The hook, or what is wrong with it."""
    if not isinstance(entry, dict):
        return "it is no command"
    event, command, matcher = entry.get("event"), entry.get("command"), entry.get("matcher") or ""
    if not isinstance(event, str) or not isinstance(command, str) or not command.strip() or "\0" in command:
        return "it says no event or no command"
    if event not in HOOK_EVENTS:
        return f"the event {event[:60]!r} does not happen here"
    matcher = "" if matcher == "*" else matcher
    try:
        re.compile(matcher)
        matcher = both_names(event, matcher) if at else our_matcher(event, matcher)
        re.compile(matcher)
    except (re.error, TypeError, RecursionError):
        return f"its matcher {str(matcher)[:60]!r} is no regular expression"
    timeout = entry.get("timeout", 30)
    if not isinstance(timeout, int | float) or not 1 <= timeout <= 600:
        return "its timeout is not between 1 and 600 seconds"
    root = shlex.quote(str(folder))
    start = f"export KIMI_PLUGIN_ROOT={root} CLAUDE_PLUGIN_ROOT={root}\n" + (in_folder(folder) if at else "")
    return Hook(event, start + command, matcher, float(timeout), entry.get("strict") is True, written=command)


def mcp_servers(folder: Path, given: Any, problems: list[str]) -> dict[str, Mapping[str, Any]]:
    """Servers by name. A command or folder that begins with `./` is the plugin's own."""
    if given is None and _there(folder, ".mcp.json", stat.S_ISREG):
        given = ".mcp.json"
    if isinstance(given, str):
        given = _file(folder, given, problems)
    if isinstance(given, dict) and isinstance(given.get("mcpServers"), dict):
        given = given["mcpServers"]
    found: dict[str, Mapping[str, Any]] = {}
    for name, server in given.items() if isinstance(given, dict) else ():
        ready = _server(server, folder)
        if ready is None:
            problems.append(
                f"its MCP server {name[:60]!r} is left out: it has no command and no url, or leads elsewhere"
            )
        else:
            found[name] = ready
    return found


def _server(server: Any, folder: Path) -> Mapping[str, Any] | None:
    if not isinstance(server, dict) or not any(isinstance(server.get(key), str) for key in ("command", "url")):
        return None
    ready: dict[str, Any] = _placed(server, str(folder))
    for key in ("command", "cwd"):
        path = ready.get(key)
        if isinstance(path, str) and path.startswith(("./", "../")):
            own = inside(folder, path)
            if own is None:
                return None
            ready[key] = str(own)
    return ready


def _placed(value: Any, folder: str) -> Any:
    """`value` with `${KIMI_PLUGIN_ROOT}` filled in."""
    if isinstance(value, str):
        return _ROOT.sub(lambda _: folder, value)
    if isinstance(value, dict):
        return {key: _placed(item, folder) for key, item in value.items()}
    return [_placed(item, folder) for item in value] if isinstance(value, list) else value


def _file(folder: Path, name: str, problems: list[str]) -> Any:
    """The JSON of a file in the plugin; None when it cannot be read."""
    path = inside(folder, name)
    try:
        with open(path or "", "rb") as file:  # noqa: PTH123 - "" is no file: told as any other
            return from_json(file.read(_LIMIT))
    except (OSError, ValueError, RecursionError):
        problems.append(f"its file {name[:80]!r} is left out: there is no such JSON file in the plugin")
        return None
