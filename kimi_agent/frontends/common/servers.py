"""How the MCP servers of a session are, for a status line: looked at when something has changed, never by the clock."""

from collections.abc import Callable

from kimi_agent.agent.status import McpTally
from kimi_agent.core.servers import Servers


class ServersWatch:
    """`changed` is called in the event loop when what `tally` answers may be another."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._servers: Servers | None = None
        self._end: Callable[[], None] | None = None
        self._tally: McpTally | None = None

    def tally(self, servers: Servers | None) -> McpTally | None:
        """Of these servers, which are watched from now on in the place of those before; None where there is none."""
        if servers is not self._servers:
            self._servers, self._tally = servers, None
            self.end()
            self._end = servers.watch(self._forget) if servers is not None else None
        if self._tally is None and servers is not None:
            self._tally = tally_of(servers)
        return self._tally if self._tally is not None and self._tally.total else None

    def end(self) -> None:
        """Watch nothing any more."""
        if self._end is not None:
            self._end()
            self._end = None

    def _forget(self) -> None:
        self._tally = None
        self._changed()


def tally_of(servers: Servers) -> McpTally:
    statuses = [state.status for state in servers.states() if state.status != "disabled"]
    return McpTally(
        len(statuses), statuses.count("ready"), statuses.count("failed"),
        statuses.count("needs-approval"), statuses.count("needs-auth"),
    )  # fmt: skip
