"""What a server says by itself: that its lists have changed, and log messages."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp import Client

    from kimi_agent.mcp.connection import Connection

_GATHER_S = 0.3  # servers tell one change several times
_LOGGED = 4_000  # characters of a message


class News:
    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._waiting: asyncio.Task[None] | None = None

    async def handle(self, message: Any) -> None:
        """A notification of a server of the older revisions."""
        if type(message).__name__ in (
            "ToolListChangedNotification", "PromptListChangedNotification", "ResourceListChangedNotification",
        ):  # fmt: skip
            self._look_soon()

    async def follow(self, client: "Client") -> None:
        """The same of a server of the newer ones, which is asked to tell."""
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
        await asyncio.sleep(_GATHER_S)
        await self._connection.list_again()
