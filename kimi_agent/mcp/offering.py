"""What the servers of a host offer besides tools: prompts and resources, and the news of those that were read."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image, Text
from kimi_agent.core.servers import Prompt, Resource
from kimi_agent.mcp.connection import Connection
from kimi_agent.mcp.offered import prompts_of, resources_of

if TYPE_CHECKING:
    from kimi_agent.mcp.host_entry import Entry


_LISTING_S = 10.0
"""Seconds that a server gets to list its prompts and resources before it is asked for one."""


class Offering:
    """The part of a host that has nothing to do with tools. `_entries` are its servers by name."""

    _entries: "dict[str, Entry]"

    def __init__(self) -> None:
        self._readers: dict[tuple[str, str], set[str]] = {}  # sessions, by the server and resource that they have read
        self._changed_resources: dict[str, dict[str, None]] = {}  # what they are to be told

    def _ready(self) -> list[tuple[str, Connection]]:
        return [
            (name, e.connection) for name, e in self._entries.items() if e.connection is not None and e.connection.alive
        ]

    def prompts(self) -> Sequence[Prompt]:
        return [prompt for server, connection in self._ready() for prompt in prompts_of(server, connection)]

    def resources(self) -> Sequence[Resource]:
        return [each for server, connection in self._ready() for each in resources_of(server, connection)]

    async def arrived(self, server: str) -> None:
        await self._arrived(server)

    async def prompt(self, server: str, name: str, arguments: Mapping[str, str]) -> str:
        from kimi_agent.mcp.offers import prompt_text

        return await prompt_text(await self._arrived(server), name, arguments)

    async def read(self, server: str, uri: str) -> tuple[Text | Image, ...]:
        from kimi_agent.mcp.offers import resource_content

        return await resource_content(await self._arrived(server), uri)

    async def complete(
        self, server: str, of: Prompt | Resource, argument: str, value: str, known: Mapping[str, str] = {}
    ) -> Sequence[str]:
        from kimi_agent.mcp.offers import completions

        connection = next((c for name, c in self._ready() if name == server), None)
        return [] if connection is None else await completions(connection, of, argument, value, known)

    async def follow(self, session: str, server: str, uri: str) -> None:
        connection = await self._arrived(server)
        self._readers.setdefault((server, uri), set()).add(session)
        await connection.follow(uri, lambda: self._resource_changed(server, uri))

    def _resource_changed(self, server: str, uri: str) -> None:
        for session in self._readers.get((server, uri), ()):
            self._changed_resources.setdefault(session, {})[f"{server}:{uri}"] = None

    def _take_resource_notes(self, session: str) -> list[str]:
        names = self._changed_resources.pop(session, {})
        return [f"[The MCP resource {name} has changed since it was read.]" for name in names]

    async def _arrived(self, server: str) -> Connection:
        entry = self._entries.get(server)
        if entry is not None and (connection := entry.connection) is not None:
            await connection.settled()
            with contextlib.suppress(TimeoutError):  # one that does not list may still answer
                async with asyncio.timeout(_LISTING_S):
                    await connection.settled(whole=True)
            if connection.alive:
                return connection
            if connection.problem is not None:
                raise ToolError(f"The MCP server {server} is not there: {connection.problem.text}.")
        raise ToolError(f"The MCP server {server} is not there.")
