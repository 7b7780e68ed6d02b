"""Front ends, by the name that the command line knows. Each is imported when it is chosen, never before.

A front end is made with what the person asked for and then run: `await load(name)(...).run(agent)` answers an exit code.
To add one, write a module with a class like that and name it here.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent

FRONTENDS = {
    "print": "kimi_agent.frontends.print:PrintFrontend",
    "json": "kimi_agent.frontends.print:JsonFrontend",
    "stream-json": "kimi_agent.frontends.print:StreamJsonFrontend",
    "line": "kimi_agent.frontends.line.app:LineFrontend",
    "tui": "kimi_agent.frontends.tui.frontend:TuiFrontend",
}


class Frontend(Protocol):
    async def run(self, agent: "Agent") -> int:
        """Talk to the person (or the script) until they are done; answers an exit code (core/exit.py)."""
        ...


def load(name: str, table: Mapping[str, str] = FRONTENDS) -> Any:
    """The class of the front end `name`. Raises KeyError for a name that is not in the table."""
    module, _, attribute = table[name].partition(":")
    return getattr(import_module(module), attribute)
