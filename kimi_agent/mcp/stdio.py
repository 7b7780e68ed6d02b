"""A stdio server's messages: one JSON document per line on its stdin and stdout.

Written here because the SDK's own reader takes quadratic time for long lines and has no bound; see
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from kimi_agent.core.child import Child
from kimi_agent.mcp.tail import Tail

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Streams = tuple[MemoryObjectReceiveStream[Any], MemoryObjectSendStream[Any]]

LONGEST = 64 << 20
"""Bytes of one message. A longer one is dropped, and its request answered with an error."""
_CHUNK = 1 << 18
_ASKED = 100  # questions of a server that may wait for an answer
_END = 4096  # bytes that are kept of each end of a line that is too long
_REST_S = 0.01
"""After each piece that is thrown away: a server that floods us waits in its own write, and costs next to nothing."""
_FLOOD = 32 << 10  # bytes of stderr at once
_MANY, _REST_EACH_S = 50, 0.0005  # messages in one piece, and the rest for each of more than so many
_EXIT_GRACE_S = 2.0  # between closing its stdin and SIGTERM: what the specification's shutdown leaves to the client
_LAST_WORDS_S = 0.3  # for the end of its stderr after its exit
_ID = re.compile(rb'"id"\s*:\s*("(?:[^"\\]|\\.){0,200}"|-?\d{1,18})')
TOO_LONG = -32000


class Process(Struct):
    """What is known of a server's process. `errors` is the end of its stderr, `box` what it runs in, `speaks`: a message came.

    `exited` is set when it has ended (`exit_code`) or could not be started (`failure`), `closed` soon after that, and when it has
    closed its stdout.
    """

    errors: Tail = field(default_factory=Tail)
    exited: asyncio.Event = field(default_factory=asyncio.Event)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    speaks: bool = False
    unanswered: set[Any] = field(default_factory=set)  # ids of its questions to us
    exit_code: int | None = None
    failure: OSError | None = None
    box: str = ""
    pid: int = 0


@asynccontextmanager
async def stdio_transport(start: Callable[[], Awaitable[Child]], process: Process) -> "AsyncIterator[Streams]":
    """Start a server and yield the streams that the SDK's client takes; at the end it is ended with all that it started.

    `process` is filled in. Raises what `start` raises.
    """
    import anyio

    child = await start()
    process.pid, process.box = child.pid, child.box
    to_session, incoming = anyio.create_memory_object_stream[Any](0)
    outgoing, from_session = anyio.create_memory_object_stream[Any](0)
    loop = asyncio.get_running_loop()
    reading = loop.create_task(_read(child, to_session, process), name="mcp stdout")
    writing = loop.create_task(_write(child, from_session, to_session, process.unanswered), name="mcp stdin")
    hearing = loop.create_task(_hear(child, process.errors), name="mcp stderr")
    waiting = loop.create_task(_wait(child, to_session, process), name="mcp exit")
    try:
        yield incoming, outgoing
    finally:
        for stream in (incoming, outgoing, to_session, from_session):
            stream.close()
        with anyio.CancelScope(shield=True):
            writing.cancel()
            await asyncio.wait([writing])
            patient = process.speaks and not process.closed.is_set()  # one that never spoke is not waited for
            await child.end(_EXIT_GRACE_S if patient else _LAST_WORDS_S)
            for task in (reading, hearing, waiting):
                task.cancel()
            await asyncio.wait([reading, hearing, waiting])


async def _wait(child: Child, deliver: "MemoryObjectSendStream[Any]", process: Process) -> None:
    """Its exit ends the connection, also when something that it started still holds its stdout."""
    try:
        process.exit_code = await child.wait()
    except OSError as failure:
        process.failure = failure
    process.exited.set()
    await asyncio.sleep(_LAST_WORDS_S)
    process.closed.set()
    deliver.close()


async def _read(child: Child, deliver: "MemoryObjectSendStream[Any]", process: Process) -> None:
    import anyio
    from mcp import types
    from mcp.shared.message import SessionMessage

    def parsed(line: bytes) -> Any:
        try:
            return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
        except ValueError as error:
            return error

    gone = False
    async for lines in _lines(child.stdout):
        kept = 0
        for line, whole in lines:
            if gone or not line.lstrip().startswith(b"{"):
                continue  # a stray line; and where nobody listens any more, a server that cannot write cannot end
            message: Any = parsed(line) if whole else _too_long(line)
            if isinstance(message, Exception) or not _is_taken(message.message, process.unanswered):
                continue  # a stray line, as `print` leaves it
            kept, process.speaks = kept + 1, True
            try:
                await deliver.send(message)
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                gone = True
        await asyncio.sleep(kept * _REST_EACH_S if kept > _MANY else _REST_S if lines and not kept else 0)
    with suppress(TimeoutError):  # how it ended is worth a moment
        async with asyncio.timeout(_LAST_WORDS_S):
            await process.exited.wait()
    process.closed.set()
    deliver.close()


def _is_taken(message: Any, unanswered: set[Any]) -> bool:
    """Whether a message is passed on: a server that asks and asks, and reads no answers, is not listened to for ever."""
    method, number = getattr(message, "method", None), getattr(message, "id", None)
    if method == "notifications/cancelled":
        unanswered.discard((message.params or {}).get("requestId"))
    if method is None or number is None:
        return True
    if len(unanswered) >= _ASKED:
        return False
    unanswered.add(number)
    return True


async def _lines(descriptor: int) -> AsyncIterator[list[tuple[bytes, bool]]]:
    """Per piece that comes through a non-blocking pipe, the lines that it ends, and whether each is whole; of one that is too
    long its beginning and its end."""
    held, size = bytearray(), 0
    async for chunk in chunks(descriptor):
        *ends, rest = chunk.split(b"\n")
        found = []
        for piece in ends:
            found.append((bytes(held + piece), size + len(piece) <= LONGEST))
            held, size = bytearray(), 0
        held += rest
        size += len(rest)
        if size > LONGEST:
            held = held[:_END] + held[_END:][-_END:]
            await asyncio.sleep(_REST_S)
        yield found
    if held:
        yield [(bytes(held), size <= LONGEST)]


def _too_long(line: bytes) -> Any:
    """The answer to a request whose result is too long to be held; None where its id stands in the middle of it."""
    from mcp import types
    from mcp.shared.message import SessionMessage

    match = _ID.search(line[:_END]) or _ID.search(line[-_END:])
    if match is None:
        return ValueError("a message that is too long")
    number = match[1].decode("utf-8", "replace")
    error = types.ErrorData(code=TOO_LONG, message=f"its answer is longer than {LONGEST >> 20} MiB, and was dropped")
    name: Any = number[1:-1] if number.startswith('"') else int(number)
    return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=name, error=error))


async def chunks(descriptor: int) -> AsyncIterator[bytes]:
    """What comes through a non-blocking pipe, until its other end is closed."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            piece = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            await _ready(loop.add_reader, loop.remove_reader, descriptor)
            continue
        except OSError:
            return
        if not piece:
            return
        yield piece


async def _ready(add: Callable[..., Any], remove: Callable[[int], Any], descriptor: int) -> None:
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    add(descriptor, wake)
    try:
        await ready
    finally:
        remove(descriptor)


async def _write(
    child: Child,
    take: "MemoryObjectReceiveStream[Any]",
    deliver: "MemoryObjectSendStream[Any]",
    unanswered: set[Any],
) -> None:
    loop = asyncio.get_running_loop()
    try:
        async for message in take:
            data = memoryview(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            while data:
                try:
                    data = data[os.write(child.stdin, data[:_CHUNK]) :]
                except BlockingIOError:
                    await _ready(loop.add_writer, loop.remove_writer, child.stdin)
            if getattr(message.message, "method", None) is None:
                unanswered.discard(getattr(message.message, "id", None))
    except OSError:
        deliver.close()  # the session sees the end, instead of a request that hangs


async def _hear(child: Child, errors: Tail) -> None:
    with suppress(OSError):
        async for piece in chunks(child.stderr):
            errors.add(piece)
            await asyncio.sleep(_REST_S if len(piece) >= _FLOOD else 0)
