"""What `kimi mcp` and `kimi doctor` know of servers before any is started."""

import os
from pathlib import Path
from typing import Any

import typer
from msgspec import Struct

from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError, KimiError
from kimi_agent.core.sanitize import visible
from kimi_agent.mcp.approvals import Approvals
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.files import Found, find_servers


class Known(Struct, frozen=True):
    """Every server for `folder`, and which of them are approved."""

    home: Path
    folder: Path
    found: Found
    approvals: Approvals

    def state(self, server: Server) -> str:
        from kimi_agent.mcp.show import state

        return state(server, self.approvals, self.folder, os.environ)

    def one(self, name: str) -> Server:
        """The server that holds. Raises ConfigError when there is none, or when its entry is broken: then with the fault."""
        for server in self.found.servers:
            if server.name == name:
                return server
        if faults := [text for text in self.found.problems if f'"{visible(name)}" is left out' in text]:
            raise ConfigError("\n".join(faults), "Mend the entry.")
        names = ", ".join(visible(server.name) for server in self.found.servers) or "none"
        raise ConfigError(f"there is no MCP server {visible(name)!r}", f"Known: {names}.")

    def startable(self, name: str) -> Server:
        """The one that a session starts: what nobody has approved takes the place of none that may be started."""
        server = self.one(name)
        others = (other for other in (server, *self.found.hidden) if other.name == name)
        return next((other for other in others if self.approvals.holds(other, self.folder)), server)


def options_of(ctx: typer.Context) -> Options:
    return ctx.find_object(Options) or Options()


def known(options: Options) -> Known:
    """Reads files alone. What is wrong with one of them is among the problems."""
    flags, folder = options.mcp_flags(), options.cwd()
    plugins, faults = _of_plugins(options)
    found = find_servers(options.home, folder, flags, plugins)
    approvals = Approvals(options.home, flags.trusted)
    problems = (*found.problems, *faults, *filter(None, (approvals.problem,)))
    return Known(options.home, folder, Found(found.servers, problems, found.hidden), approvals)


def _of_plugins(options: Options) -> tuple[dict[str, Any], list[str]]:
    """The first plugin that brings a name has it, as in a session."""
    from kimi_agent.plugins.load import load_plugins

    servers: dict[str, Any] = {}
    try:
        for plugin in load_plugins(options.home, options.load().plugins):
            for name, entry in plugin.mcp_servers.items():
                servers.setdefault(name, entry)
    except KimiError as error:
        return servers, [f"the servers of plugins are left out: {error}"]
    return servers, []
