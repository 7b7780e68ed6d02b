"""HTTP with server-sent events, the transport of 2024-11-05: one stream of news, and a request for each message.

The SDK's own has a limit of 1 MiB an event, and when a message cannot be sent nobody hears of it. Imported where a connection
begins: it imports the SDK.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import anyio
import httpx2
from anyio.abc import TaskStatus
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared._httpx_utils import request_within_origin, sse_within_origin
from mcp.shared.message import SessionMessage
from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError, JSONRPCRequest, jsonrpc_message_adapter

Incoming = SessionMessage | Exception


@asynccontextmanager
async def sse_streams(http: httpx2.AsyncClient, url: str, largest: int) -> AsyncIterator[tuple[Any, Any]]:
    """Raises what httpx2 raises where the stream cannot be had, ValueError for one that leads elsewhere."""
    to_us, reader = anyio.create_memory_object_stream[Incoming](0)
    writer, from_us = anyio.create_memory_object_stream[SessionMessage](0)
    async with sse_within_origin(http, url, max_event_size=largest) as events:
        events.response.raise_for_status()
        async with to_us, reader, writer, from_us, anyio.create_task_group() as group:
            address = await group.start(_read, events, url, to_us)
            group.start_soon(_write, http, address, from_us, to_us)
            yield reader, writer
            group.cancel_scope.cancel()


async def _read(
    events: httpx2.EventSource, url: str, to_us: MemoryObjectSendStream[Incoming], *, task_status: TaskStatus[str]
) -> None:
    """The first event says where messages go. The end of the stream is that of the connection."""
    async with to_us:
        async for event in events:
            if event.event == "endpoint":
                task_status.started(_within(url, event.data))
            elif event.event == "message" and event.data:
                try:
                    await to_us.send(SessionMessage(jsonrpc_message_adapter.validate_json(event.data, by_name=False)))
                except ValueError as error:  # no message: the SDK tells whoever listens
                    await to_us.send(error)


def _within(url: str, said: str) -> str:
    """Tokens and headers are for this server alone."""
    address = httpx2.URL(urljoin(url, said))
    own = httpx2.URL(url)
    if (address.scheme, address.host, address.port) != (own.scheme, own.host, own.port):
        raise ValueError(f"the server wants messages at another server, {str(address)!r:.200}")
    return str(address)


async def _write(
    http: httpx2.AsyncClient,
    address: str,
    from_us: MemoryObjectReceiveStream[SessionMessage],
    to_us: MemoryObjectSendStream[Incoming],
) -> None:
    """A request that cannot be sent fails at once; nobody waits for an answer to it."""
    async with from_us:
        async for item in from_us:
            message = item.message
            try:
                body = message.model_dump(by_alias=True, mode="json", exclude_unset=True)
                (await request_within_origin(http, "POST", address, json=body)).raise_for_status()
            except httpx2.HTTPError as error:
                if isinstance(message, JSONRPCRequest):
                    failure = ErrorData(
                        code=INTERNAL_ERROR, message=f"it could not be sent: {error or type(error).__name__}"
                    )
                    await to_us.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=message.id, error=failure)))
