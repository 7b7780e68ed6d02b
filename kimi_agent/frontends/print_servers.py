"""What a run without a screen says of MCP servers on standard error: each that is not there, once, when that is known."""

from typing import TextIO

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.servers import Servers

_TOLD = ("failed", "needs-auth")


class ServersTold:
    def __init__(self, servers: Servers, err: TextIO) -> None:
        self._servers, self._err = servers, err
        self._told: set[str] = set()
        self.end = servers.watch(self._look)

    def _look(self) -> None:
        for state in self._servers.states():
            if state.status in _TOLD and state.name not in self._told:
                self._told.add(state.name)
                what = "failed" if state.status == "failed" else "needs a sign-in"
                text = f"the MCP server {state.name} {what}: {state.detail}. {state.hint}".rstrip(". ")
                self._err.write(f"kimi: {text}\n")
                self._err.flush()


async def require(servers: Servers) -> None:
    """Wait for the servers without which a run is not to begin. Raises ConfigError when one does not come."""
    if wrong := await servers.required():
        raise ConfigError(f"an MCP server that is required is not there: {'; '.join(wrong)}")
