"""What `build` is given: the plugins, and the command that lists them in a session."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.commands import Command, Shell
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.plugin import Plugin
from kimi_agent.plugins.find import Found, find
from kimi_agent.plugins.load import load_plugins

STATES = {"on": "on", "off": "off", "new": "not trusted", "changed": "changed", "broken": "broken"}
"""The state of a plugin, in words."""


def host_plugins(
    home: Path, options: Mapping[str, Mapping[str, Any]], offers: Callable[[str], bool] = lambda tool: True
) -> list[Plugin]:
    """All that `load_plugins` answers, and `/plugins`."""

    async def show(shell: Shell, args: str) -> None:
        shell.show(as_table(find(home, options)))

    command = Command("plugins", "list the plugins and whether they are on", show)
    return [
        *load_plugins(home, options, offers),
        Plugin(name="plugins", description="lists plugins", commands=[command]),
    ]


def as_table(plugins: Sequence[Found]) -> str:
    """Markdown."""
    if not plugins:
        return "There are no plugins. `kimi plugin install SOURCE` adds one."
    rows = ["| plugin | comes from | state | |", "|---|---|---|---|"]
    for found in plugins:
        problem = visible(plain(found.problem)).replace("|", "¦").replace("\n", " ")
        rows.append(f"| {found.name} | {found.origin} | {STATES[found.state]} | {problem} |")
    return "\n".join(
        [*rows, "", "`kimi plugin enable NAME` and `disable NAME` take effect when kimi is started again."]
    )
