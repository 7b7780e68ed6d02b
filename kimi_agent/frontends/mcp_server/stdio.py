"""The wire of standard input and output: one JSON-RPC message a line. It can be left at any moment, whatever the client does."""

import contextlib
import queue
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeAlias

from kimi_agent.frontends.stdio import InputLines, Output

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Streams: TypeAlias = tuple[MemoryObjectReceiveStream[Any], MemoryObjectSendStream[Any]]

LAST_WORDS = 2.0
"""Seconds that what is written at the end may take: a client that does not read is not waited for."""


@contextlib.asynccontextmanager
async def wire(lines: InputLines, out: Output) -> "AsyncIterator[Streams]":
    """Streams of messages as the SDK's own transports have them. The first one ends with the input."""
    import anyio
    import mcp_types as types
    from mcp.shared.message import SessionMessage

    coming, read = anyio.create_memory_object_stream[Any](0)
    write, going = anyio.create_memory_object_stream[Any](0)
    writer = Writer(out)

    async def receive() -> None:
        async with coming:
            with contextlib.suppress(anyio.BrokenResourceError):  # nobody reads any more
                await relay()

    async def relay() -> None:
        while (line := await lines.next()) is not None:
            if not line.strip():
                continue
            try:
                message: Any = SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
            except ValueError as error:
                message = error
            await coming.send(message)

    async def send() -> None:
        async with going:
            async for message in going:
                writer.put(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")

    try:
        async with anyio.create_task_group() as both:
            both.start_soon(receive)
            both.start_soon(send)
            yield read, write
            both.cancel_scope.cancel()
    finally:
        writer.end()


class Writer:
    """Writes in a thread of its own, so that a client that does not read holds up nothing but itself."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="stdout", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        self._waiting.put(data)

    def end(self) -> None:
        self._waiting.put(None)
        self._thread.join(LAST_WORDS)

    def _write(self) -> None:
        while (data := self._waiting.get()) is not None:
            self._out.write(data)
