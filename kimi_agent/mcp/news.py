"""What a server says by itself: that its lists have changed, and log messages."""

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp import Client

    from kimi_agent.mcp.connection import Connection

_SUBSCRIBE_S = 5.0
_GATHER_S, _MOST_S = 0.3, 30.0
"""Servers tell one change several times; for one that does not stop the wait grows."""
_QUIET_S = 10.0  # after which it is short again
_LOGGED = 4_000  # characters of a message


class News:
    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._waiting: asyncio.Task[None] | None = None
        self._listening: list[asyncio.Task[None]] = []
        self._gather, self._looked = _GATHER_S, 0.0

    async def handle(self, message: Any) -> None:
        """A notification of a server of the older revisions."""
        if type(message).__name__ in (
            "ToolListChangedNotification", "PromptListChangedNotification", "ResourceListChangedNotification",
        ):  # fmt: skip
            self._look_soon()
        elif type(message).__name__ == "ResourceUpdatedNotification":
            self._updated(str(message.params.uri))

    async def subscribe(self, client: "Client", uri: str) -> None:
        """Ask to be told of a resource. Nothing when the server cannot, or does not answer."""
        from mcp_types.version import MODERN_PROTOCOL_VERSIONS

        offered = client.server_capabilities.resources
        if offered is None or not offered.subscribe:
            return
        if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
            self._listening.append(asyncio.create_task(self._listen(client, uri)))
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_SUBSCRIBE_S):
                await client.session.subscribe_resource(uri)

    async def _listen(self, client: "Client", uri: str) -> None:
        """Until the connection ends."""
        with contextlib.suppress(Exception):
            async with client.listen(resource_subscriptions=[uri]) as events:
                async for _ in events:
                    self._updated(uri)

    def _updated(self, uri: str) -> None:
        for followed, changed in list(self._connection.followed.items()):
            if uri == followed or uri.startswith(f"{followed.rstrip('/')}/"):
                changed()

    async def follow(self, client: "Client") -> None:
        """The same of a server of the newer ones, which is asked to tell; and of resources that were followed before."""
        for uri in list(self._connection.followed):
            await self.subscribe(client, uri)
        from mcp.client.subscriptions import ListenNotSupportedError

        offered = client.server_capabilities
        tools = bool(offered.tools and offered.tools.list_changed)
        prompts = bool(offered.prompts and offered.prompts.list_changed)
        resources = bool(offered.resources and offered.resources.list_changed)
        if not (tools or prompts or resources):
            return
        with contextlib.suppress(ListenNotSupportedError, Exception):  # without it the lists stay as they are
            async with client.listen(
                tools_list_changed=tools, prompts_list_changed=prompts, resources_list_changed=resources
            ) as events:
                async for _ in events:
                    self._look_soon()

    async def log(self, params: Any) -> None:
        """A log message joins the end of its stderr: there is one place to look."""
        text = params.data if isinstance(params.data, str) else repr(params.data)
        self._connection.process.errors.add(f"[{params.level}] {text[:_LOGGED]}\n".encode("utf-8", "replace"))

    def _look_soon(self) -> None:
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.create_task(self._look())

    async def _look(self) -> None:
        soon = time.monotonic() - self._looked < _QUIET_S
        self._gather = min(_MOST_S, self._gather * 2) if soon else _GATHER_S
        await asyncio.sleep(self._gather)
        self._looked = time.monotonic()
        await self._connection.list_again()
