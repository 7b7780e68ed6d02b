"""All MCP servers of the sessions in one folder: started beside everything else, each on its own, none ever in the way."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import visible
from kimi_agent.core.servers import Sampler, ServerState
from kimi_agent.core.tool import Tool
from kimi_agent.mcp.approvals import Approvals
from kimi_agent.mcp.connection import Connection
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.files import Found
from kimi_agent.mcp.host_entry import Entry, missing
from kimi_agent.mcp.link import Link
from kimi_agent.mcp.names import server_of
from kimi_agent.mcp.offering import Offering
from kimi_agent.mcp.sdk import load_sdk
from kimi_agent.mcp.search import McpTools, best, words_of
from kimi_agent.mcp.show import difference
from kimi_agent.mcp.states import state_of
from kimi_agent.mcp.tool import AbsentTool, LaterTool, effect_target

if TYPE_CHECKING:
    from kimi_agent.core.ask import Ask

SHARE = 0.05
"""Of the context window: definitions that need more are found by a search instead of being told in every request."""
UNKNOWN_WINDOW = 128_000
"""Tokens, for a model whose window nobody knows."""
GENTLE_S = 1.0
"""How long a start gives way to the first request to the model, unless somebody wants a tool."""
SEARCH_WAIT_S, FOUND_WAIT_S = 10.0, 0.5
"""How long all searches together wait for servers that are still connecting; and each one that has found something."""


class McpHost(Offering):
    """`find` reads the definitions. `wanted` says whether a tool is offered.

    Everything here is safe to be called before `start`, and when servers fail: what they do is in `states`.
    """

    def __init__(
        self,
        folder: Path,
        home: Path,
        find: Callable[[], Found],
        approvals: Approvals,
        link: Link,
        wanted: Callable[[str], bool] = lambda name: True,
        share: float = SHARE,
    ) -> None:
        super().__init__()
        self.folder, self.link = folder, link
        self._home, self._find, self._approvals, self._wanted, self._share = home, find, approvals, wanted, share
        self._entries: dict[str, Entry] = {}
        self._off: dict[str, bool] = {}  # of this run: names that were turned on or off
        self._problems: tuple[str, ...] = ()
        self._watchers: list[Callable[[], None]] = []
        self._told: set[tuple[str, str]] = set()  # sessions that were told the instructions of a server
        self._starting: asyncio.Task[None] | None = None
        self._waking: list[asyncio.Task[None]] = []
        self._people: dict[str, tuple[Ask, Sampler | None]] = {}  # by session, those that came last at the end
        self._go = asyncio.Event()
        self._patience = 0.0  # the moment until which searches wait
        self.unread: Sequence[str] = ()
        self._look()

    # --- their lives --------------------------------------------------------------------------------------------------

    def _look(self) -> list[str]:
        """Read the definitions; answers what has changed, in words. No server is started or ended by it."""
        self._approvals.fresh()
        found = self._find()
        self._problems = (*found.problems, *([self._approvals.problem] if self._approvals.problem else ()))
        self.unread = found.unread
        before, self._entries = self._entries, {}
        words = []
        for server in (self._holding(server, found) for server in found.servers):
            old = before.pop(server.name, None)
            if old is not None and old.server == server:
                self._entries[server.name] = old
                continue
            self._entries[server.name] = Entry(server, self._home)
            words.append(f"{'changed' if old else 'added'} {server.name}")
            if old is not None:
                before[server.name] = old
        words += [f"removed {name}" for name in before if name not in self._entries]
        self._leaving = [entry.connection for entry in before.values() if entry.connection is not None]
        return words

    def _holding(self, server: Server, found: Found) -> Server:
        """An entry that nobody has approved does not take the place of one that needs no approval."""
        if self._approvals.holds(server, self.folder):
            return server
        others = (other for other in found.hidden if other.name == server.name)
        return next((other for other in others if self._approvals.holds(other, self.folder)), server)

    @property
    def problems(self) -> Sequence[str]:
        return self._problems

    def start(self, *, gently: bool = False) -> None:
        if self._starting is None and self._entries:
            self._begin(GENTLE_S if gently else 0)
        if not gently:
            self._go.set()
        for entry in self._entries.values():  # somebody has signed in meanwhile, perhaps in another program
            if (
                entry.connection is not None
                and entry.connection.status == "needs-auth"
                and entry.connection.may_be_back
            ):
                self._waking.append(asyncio.create_task(entry.connection.restart()))

    def _begin(self, after: float = 0) -> asyncio.Task[None]:
        """Give every server that may be started a connection, now; they are connected to later."""
        asyncio.get_running_loop().call_later(after, self._go.set)
        self._patience = time.monotonic() + SEARCH_WAIT_S
        fresh = []
        for entry in self._entries.values():
            if entry.connection is None and self._may_start(entry.server):
                entry.connection = Connection(entry.server, self.link, self._changed)
                fresh.append(entry.connection)
        self._starting = asyncio.create_task(self._connect(fresh, self._starting), name="mcp start")
        return self._starting

    async def _connect(self, connections: Sequence[Connection], before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        if connections:
            await self._go.wait()
            await load_sdk()
        for connection in connections:
            if not connection.started:
                connection.start()
        self._changed()

    def _may_start(self, server: Server) -> bool:
        return self._is_enabled(server) and self._approvals.holds(server, self.folder)

    def _is_enabled(self, server: Server) -> bool:
        return self._off.get(server.name, server.enabled)

    async def settled(self, *, whole: bool = False) -> None:
        """Until none is connecting any more; `whole`: and what they offer besides tools is known."""
        self._go.set()
        if self._starting is not None:
            await asyncio.wait([self._starting])
        connections = [entry.connection for entry in self._entries.values() if entry.connection is not None]
        await asyncio.gather(*(each.settled(whole=whole) for each in connections))

    async def required(self) -> list[str]:
        """Wait for the servers that a run needs; what is wrong with them, in words."""
        needed = [e for e in self._entries.values() if e.server.required and self._is_enabled(e.server)]
        if not needed:
            return []
        self.start()
        assert self._starting is not None
        await asyncio.wait([self._starting])
        await asyncio.gather(*(e.connection.settled() for e in needed if e.connection is not None))
        states = [self._state(entry) for entry in needed]
        return [f"{s.name}: {s.detail or s.status}. {s.hint}".strip() for s in states if s.status != "ready"]

    async def reload(self) -> Sequence[str]:
        words = self._look()
        await self._end(self._leaving)
        await asyncio.wait([self._begin()])
        return words

    async def reconnect(self, name: str) -> None:
        entry = self._entry(name)
        if not self._may_start(entry.server):
            raise ConfigError(f"the MCP server {name} is {self._state(entry).status}", self._state(entry).hint)
        if (connection := entry.connection) is not None:
            await connection.restart()
            return
        await asyncio.wait([self._begin()])
        if (connection := self._entry(name).connection) is not None:
            await connection.settled()

    async def set_enabled(self, name: str, *, enabled: bool) -> None:
        entry = self._entry(name)
        self._off[name] = enabled
        if enabled:
            await self.reconnect(name)
        elif entry.connection is not None:
            connection, entry.connection = entry.connection, None
            await self._end([connection])
        self._changed()

    async def approve(self, name: str, digest: str = "") -> None:
        entry = self._entry(name)
        if digest and entry.server.digest != digest:
            raise ConfigError(f"the definition of {name} has changed meanwhile", "Look at it again.")
        self._approvals.approve(entry.server, self.folder)
        self._begin()

    async def sign_in(self, name: str, show: Callable[[str], None]) -> None:
        from kimi_agent.mcp.expand import expand
        from kimi_agent.mcp.oauth_flow import authorize

        server = self._entry(name).server
        if not self._may_start(server):
            raise ConfigError(f"the MCP server {name} is {self._state(self._entry(name)).status}")
        await authorize(
            await asyncio.to_thread(expand, server, self.link.env),
            self._home,
            show=show,
            open_browser=self.link.open_page,
        )

    async def accept(self, name: str) -> None:
        entry = self._entry(name)
        if not entry.held:
            raise ConfigError(f"no tool of {name} has changed")
        try:
            await asyncio.to_thread(entry.accept)
        except OSError as error:
            raise ConfigError(f"that cannot be kept: {error.strerror or error}") from None
        self._changed()

    def _entry(self, name: str) -> Entry:
        if name not in self._entries:
            known = ", ".join(self._entries) or "there is none"
            raise ConfigError(f"there is no MCP server {name!r}", f"Known: {known}.")
        return self._entries[name]

    async def _end(self, connections: Sequence[Connection]) -> None:
        await asyncio.gather(*(connection.aclose() for connection in connections), return_exceptions=True)

    async def aclose(self) -> None:
        working = [*self._waking, *([self._starting] if self._starting is not None else [])]
        for task in working:
            task.cancel()
        if working:
            await asyncio.wait(working)
        await self._end([entry.connection for entry in self._entries.values() if entry.connection is not None])

    # --- what is seen of them -----------------------------------------------------------------------------------------

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed) if changed in self._watchers else None

    def _changed(self) -> None:
        for entry in self._entries.values():
            entry.listed()  # what its tools are now is remembered, whether or not anybody looks
        for watcher in list(self._watchers):
            with contextlib.suppress(Exception):
                watcher()

    def attend(self, session: str, ask: "Ask", sampler: Sampler | None = None) -> None:
        self._people.pop(session, None)
        self._people[session] = (ask, sampler)

    def leave(self, session: str) -> None:
        self._people.pop(session, None)

    def person(self, session: str) -> "tuple[Ask | None, Sampler | None]":
        """Who answers for a session; for none that is known, the one that came last."""
        return self._people.get(session) or next(reversed(self._people.values()), (None, None))

    def states(self) -> Sequence[ServerState]:
        return [self._state(entry) for entry in self._entries.values()]

    def raw(self, name: str) -> Sequence[tuple[str, str]]:
        connection = self._entry(name).connection
        tools = connection.tools if connection is not None else ()
        return [(visible(tool.name), visible(tool.description or tool.title or "")) for tool in tools]

    def _state(self, entry: Entry) -> ServerState:
        server = entry.server
        approved = self._approvals.holds(server, self.folder)
        tools = entry.listed()
        before = self._approvals.approved(server.name, self.folder) if not approved else None
        changed = difference(before, server) if before is not None else []
        return state_of(
            server, entry.connection, tools, entry.held, entry.instructions,
            enabled=self._is_enabled(server), approved=approved, changed=changed,
        )  # fmt: skip

    # --- their tools --------------------------------------------------------------------------------------------------

    def all(self) -> Sequence[Tool]:
        """Tools by server and as it lists them, each name once."""
        found: dict[str, Tool] = {}
        for entry in self._entries.values():
            for tool in entry.listed():
                if self._wanted(tool.name):
                    found.setdefault(tool.name, tool)
        return list(found.values())

    def names(self) -> Sequence[str]:
        return [tool.name for tool in self.all()]

    def doubted(self) -> Collection[str]:
        entries = [entry for entry in self._entries.values() if entry.listed() is not None and entry.held]
        return {effect_target(entry.server.name, "x").split("/")[0] for entry in entries}

    def declared(self, window: int) -> Sequence[Tool]:
        entries = [entry for entry in self._entries.values() if entry.connection is not None]
        if not entries:
            return []
        tools = [tool for entry in entries for tool in entry.known() if self._wanted(tool.name)]
        tools = list({tool.name: tool for tool in tools}.values())
        fits = sum(map(_tokens, tools)) <= self._share * (window or UNKNOWN_WINDOW)
        complete = all(entry.is_known for entry in entries)
        search: list[Tool] = [] if fits and complete else [McpTools(self, lambda: [e.server.name for e in entries])]
        return [*search, *(tools if fits else ())]

    def find(self, name: str) -> Tool | None:
        if name == McpTools.name:
            return McpTools(self, lambda: list(self._entries))
        known = next((tool for tool in self.all() if tool.name == name), None)
        if known is not None or not self._wanted(name):
            return known
        self._go.set()  # somebody wants them
        entry = self._entries.get(server_of(name, self._entries) or "")
        if entry is None:
            return None
        connection = entry.connection
        if connection is not None and not connection.alive and connection.may_be_back:
            return LaterTool(connection, name, lambda: entry.tool(name), lambda: missing(name, self._state(entry)))
        return AbsentTool(name, missing(name, self._state(entry)))

    async def wait_for(self, query: str) -> str:
        """See search.Shelf. Servers are waited for a moment, and for longer only where nothing is found yet."""
        self.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience - time.monotonic()):
                await self._found(query)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOUND_WAIT_S):
                await self.settled()
        return words_of(self.states())

    async def _found(self, query: str) -> None:
        """Until some tool is there that a query is about, or every server has come to something."""
        news = asyncio.Event()
        forget = self.watch(news.set)
        settled = asyncio.ensure_future(self.settled())
        settled.add_done_callback(lambda _: news.set())
        try:
            while not settled.done() and not (best(query, self.all()) if query else self.all()):
                news.clear()
                await news.wait()
        finally:
            forget()
            settled.cancel()

    def take_notes(self, session: str) -> list[str]:
        """What the model of a session is to be told of servers that are ready, once: their own words, as such."""
        notes = self._take_resource_notes(session)
        for name, entry in self._entries.items():
            entry.listed()
            if entry.instructions and (session, name) not in self._told:
                self._told.add((session, name))
                notes.append(
                    f"[The MCP server {name} says of its tools; these are its words, not the user's] {entry.instructions}"
                )
        return notes


def _tokens(tool: Tool) -> int:
    """Estimated: what a definition takes in every request."""
    return (len(tool.name) + len(tool.description) + len(str(tool.Params))) // 4
