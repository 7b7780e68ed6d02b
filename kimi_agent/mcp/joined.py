"""MCP servers of one session beside those that sessions of its folder share: none of these is started once more for it.

Of two whose tools rules and models could not tell apart, the session's own holds.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from kimi_agent.core.errors import ConfigError, ToolError
from kimi_agent.core.message import Image, Text
from kimi_agent.core.servers import Prompt, Resource, Sampler, Servers, ServerState
from kimi_agent.core.tool import Tool
from kimi_agent.mcp.names import word
from kimi_agent.mcp.search import NAME, McpTools, Shelf

if TYPE_CHECKING:
    from kimi_agent.core.ask import Ask


class Host(Servers, Shelf, Protocol):
    """What is joined: servers whose tools can be searched."""


class Joined:
    """Implements `core.servers.Servers`. Its end is that of `own` alone."""

    def __init__(self, own: "Host", shared: "Host") -> None:
        self._own, self._shared = own, shared
        self._parts = (own, shared)

    def _words(self) -> frozenset[str]:
        return frozenset(word(state.name) for state in self._own.states())

    def _of(self, name: str) -> "Host":
        """Where a server is. Raises ConfigError."""
        for part in self._parts:
            if any(state.name == name for state in part.states()):
                return part
        raise ConfigError(f"there is no MCP server {name!r}", f"Known: {', '.join(s.name for s in self.states())}.")

    def _reached(self, name: str) -> "Host":
        """The same. Raises ToolError."""
        try:
            return self._of(name)
        except ConfigError as error:
            raise ToolError(error.full) from None

    # --- ToolSource, and search.Shelf ---------------------------------------------------------------------------------

    def all(self) -> Sequence[Tool]:
        return [*self._own.all(), *self._visible(self._shared.all())]

    def names(self) -> Sequence[str]:
        return [tool.name for tool in self.all()]

    def declared(self, window: int) -> Sequence[Tool]:
        told = [*self._own.declared(window), *self._visible(self._shared.declared(window))]
        search = [self._search()] if any(tool.name == NAME for tool in told) else []
        return [*search, *(tool for tool in told if tool.name != NAME)]

    def _visible(self, shared: Sequence[Tool]) -> list[Tool]:
        hidden = self._words()
        return [tool for tool in shared if word(getattr(tool, "server", "")) not in hidden]

    def _search(self) -> McpTools:
        return McpTools(self, lambda: [state.name for state in self.states()])

    def find(self, name: str) -> Tool | None:
        if name == NAME:
            return self._search()
        return self._own.find(name) or self._shared.find(name)

    def doubted(self) -> Collection[str]:
        return {each for part in self._parts for each in part.doubted()}

    async def wait_for(self, query: str) -> str:
        said = await asyncio.gather(*(part.wait_for(query) for part in self._parts))
        return "\n".join(filter(None, said))

    # --- all of them --------------------------------------------------------------------------------------------------

    def start(self, *, gently: bool = False) -> None:
        for part in self._parts:
            part.start(gently=gently)

    def states(self) -> Sequence[ServerState]:
        hidden = self._words()
        return [*self._own.states(), *(s for s in self._shared.states() if word(s.name) not in hidden)]

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        ends = [part.watch(changed) for part in self._parts]

        def end() -> None:
            for each in ends:
                each()

        return end

    def attend(self, session: str, ask: "Ask", sampler: Sampler | None = None) -> None:
        for part in self._parts:
            part.attend(session, ask, sampler)

    def leave(self, session: str) -> None:
        for part in self._parts:
            part.leave(session)

    async def settled(self) -> None:
        await asyncio.gather(*(part.settled() for part in self._parts))

    async def required(self) -> Sequence[str]:
        return [*await self._own.required(), *await self._shared.required()]

    def take_notes(self, session: str) -> list[str]:
        return [note for part in self._parts for note in part.take_notes(session)]

    @property
    def problems(self) -> Sequence[str]:
        return [*self._own.problems, *self._shared.problems]

    @property
    def unread(self) -> Sequence[str]:
        return [*self._own.unread, *self._shared.unread]

    async def reload(self) -> Sequence[str]:
        return await self._shared.reload()

    def prompts(self) -> Sequence[Prompt]:
        hidden = self._words()
        return [*self._own.prompts(), *(p for p in self._shared.prompts() if word(p.server) not in hidden)]

    def resources(self) -> Sequence[Resource]:
        hidden = self._words()
        return [*self._own.resources(), *(r for r in self._shared.resources() if word(r.server) not in hidden)]

    async def aclose(self) -> None:
        await self._own.aclose()

    # --- one of them --------------------------------------------------------------------------------------------------

    async def reconnect(self, name: str) -> None:
        await self._of(name).reconnect(name)

    async def set_enabled(self, name: str, *, enabled: bool) -> None:
        await self._of(name).set_enabled(name, enabled=enabled)

    async def approve(self, name: str, digest: str = "") -> None:
        await self._of(name).approve(name, digest)

    async def accept(self, name: str) -> None:
        await self._of(name).accept(name)

    async def sign_in(self, name: str, show: Callable[[str], None]) -> None:
        await self._of(name).sign_in(name, show)

    def raw(self, name: str) -> Sequence[tuple[str, str]]:
        return self._of(name).raw(name)

    async def arrived(self, server: str) -> None:
        await self._reached(server).arrived(server)

    async def prompt(self, server: str, name: str, arguments: Mapping[str, str]) -> str:
        return await self._reached(server).prompt(server, name, arguments)

    async def complete(
        self, server: str, of: Prompt | Resource, argument: str, value: str, known: Mapping[str, str] = {}
    ) -> Sequence[str]:
        with contextlib.suppress(ConfigError):
            return await self._of(server).complete(server, of, argument, value, known)
        return []

    async def read(self, server: str, uri: str) -> tuple[Text | Image, ...]:
        return await self._reached(server).read(server, uri)

    async def follow(self, session: str, server: str, uri: str) -> None:
        await self._reached(server).follow(session, server, uri)
