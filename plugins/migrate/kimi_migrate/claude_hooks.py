"""Claude Code's hooks as ours: the same contract, other names of tools."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kimi_agent.agent.tool_names import TOOL_EVENTS, our_matcher
from kimi_agent.core.errors import SessionError
from kimi_agent.core.hook import HOOK_EVENTS
from kimi_migrate.records import items, read_json, table, text
from kimi_migrate.settings import Settings, without_keys
from kimi_migrate.step import Step, left

DEFAULT_TIMEOUT = 60
_FOLDER = re.compile(r"\$\{?CLAUDE_PROJECT_DIR\b")


def hook_steps(path: Path, settings: Settings) -> Iterator[Step]:
    """The steps for a settings.json."""
    try:
        given = read_json(path)
    except SessionError as error:
        yield left("settings", path.name, path, str(error))
        return
    for event, groups in table(given.get("hooks")).items():
        for group in items(groups):
            for hook in items(group.get("hooks")):
                if given.get("disableAllHooks") is True:
                    yield left(
                        "hook",
                        f"{event}: {without_keys(text(hook.get('command')))}",
                        path,
                        "hooks are switched off there",
                    )
                else:
                    yield _step(path, settings, event, text(group.get("matcher")), hook)
    if others := [key for key in given if key not in ("hooks", "disableAllHooks", "$schema")]:
        yield left("settings", ", ".join(others), path, "have no meaning here; permissions are asked for anew")


def _step(path: Path, settings: Settings, event: str, given: str, hook: dict[str, Any]) -> Step:
    command = text(hook.get("command"))
    if hook.get("type", "command") != "command" or not command:
        return left("hook", f"{event}: {text(hook.get('type'))}", path, "only commands can be hooks here")
    if event not in HOOK_EVENTS:
        return left("hook", f"{event}: {without_keys(command)}", path, "that event does not happen here")
    notes = []
    ours: dict[str, Any] = {"event": event, "command": command}
    if matcher := our_matcher(event, given):
        ours["matcher"] = matcher
        notes += [f"matcher {given} is {matcher} here"] if matcher != given else []
    if _FOLDER.search(command):
        ours["command"] = f'export CLAUDE_PROJECT_DIR="$PWD"; {command}'
        notes.append("CLAUDE_PROJECT_DIR is the session's folder")
    if event in TOOL_EVENTS:
        notes.append("a file is tool_input.path here, not file_path")
    timeout = hook.get("timeout")
    ours["timeout"] = min(max(timeout, 1), 600) if isinstance(timeout, int | float) else DEFAULT_TIMEOUT
    return settings.hook(path, ours, "; ".join(notes))
