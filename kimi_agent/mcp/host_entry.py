"""One server as it is written, with its connection and the tools that may be called."""

from pathlib import Path
from typing import Any

from kimi_agent.core.servers import Held, ServerState
from kimi_agent.mcp.connection import Connection
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.described import Described, described
from kimi_agent.mcp.names import LONGEST, tool_name
from kimi_agent.mcp.pins import Pins
from kimi_agent.mcp.tool import McpTool, told

_NAMED = 50  # tools, where one is missing


class Entry:
    """`connection` is None for a server that may not be started. `held` and `instructions` are as of the last `listed`."""

    def __init__(self, server: Server, home: Path) -> None:
        self.server = server
        self.connection: Connection | None = None
        self.pins = Pins(home, server)
        self.held: tuple[Held, ...] = ()
        self.instructions = ""
        self._listed_from: list[Any] | None = None
        self._tools: list[McpTool] = []
        self._earlier: tuple[Connection, list[McpTool]] | None = None  # those of an earlier run

    def listed(self) -> list[McpTool]:
        """The tools in the server's order, without those that are turned off or held back; the last ones when it has gone."""
        connection = self.connection
        if connection is None:
            return []
        if connection.client is not None and self._listed_from is not connection.tools:
            said = connection.client.instructions or ""
            tools, self.held, kept = self.pins.sort(list(map(described, connection.tools)), said)
            self._listed_from, self.instructions = connection.tools, told(kept)
            self._tools = [McpTool(connection, tool) for tool in tools if self._is_on(tool)]
        return self._tools

    def known(self) -> list[McpTool]:
        """The same; of a server that is still connecting, the tools that it had in an earlier run."""
        connection = self.connection
        if connection is None or connection.client is not None or connection.status != "connecting" or self._tools:
            return self.listed()
        if self._earlier is None or self._earlier[0] is not connection:
            found = [McpTool(connection, tool) for tool in self.pins.tools() if self._is_on(tool)]
            self._earlier = (connection, found)
        return self._earlier[1]

    def tool(self, name: str) -> McpTool | None:
        return next((tool for tool in self.listed() if tool.name == name), None)

    @property
    def is_known(self) -> bool:
        """Whether it is known which tools it has, or that it has none to offer."""
        connecting = self.connection is not None and self.connection.status == "connecting"
        return not connecting or bool(self.known())

    def accept(self) -> None:
        """Take what is held back. Raises OSError."""
        self.pins.accept(self.held)
        self._listed_from = None

    def _is_on(self, tool: Described) -> bool:
        listed = not self.server.enabled_tools or tool.name in self.server.enabled_tools
        return listed and tool.name not in self.server.disabled_tools


def missing(name: str, state: ServerState) -> str:
    """Why a server of this state has no tool of that name, in words for the model."""
    if state.status != "ready":
        return f"The MCP server {state.name} is not there ({state.status}). {state.detail or ''}. {state.hint}".strip()
    if name in (tool_name(state.name, held.name) for held in state.held):
        return f"{state.name} has changed this tool. It is held back until the user has looked at the change, in /mcp."
    known = ", ".join(tool for tool, _ in state.tools[:_NAMED])
    return f"There is no tool {name[:LONGEST]!r}. {state.name} has: {known or 'none'}."
