"""One connection: requests are read against deadlines, admitted, answered in turn; a client that leaves ends its answer.

h11 knows the grammar of HTTP/1.1; what it leaves open (time, size, rate, and what must not be written twice) is held here.
"""

import asyncio
import socket
import struct
import sys
import traceback
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Literal

import h11

from inference_backend.server.guard import Guard, check_head, to_request
from inference_backend.server.message import HttpError, Limits, Request, Response, Route

PIECE = 64 << 10
LINGER_SECONDS, LINGER_BYTES = 1.0, 1 << 20
_NO_LINGER = struct.pack("ii", 1, 0)
CHUNK_BYTES, FREE_CHUNKS = 64, 1024
"""Chunks of a body may be this small on average, once they are more than that."""


class Wire(asyncio.StreamReaderProtocol):
    """The streams of one connection, and word of a client that leaves, or speaks out of turn, while it is being answered."""

    def __init__(self, connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any], limit: int) -> None:
        super().__init__(asyncio.StreamReader(limit=limit), connected)
        self.on_gone: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        if self.on_gone:  # a second request before the first is answered: nobody needs that
            self._left()
        else:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        self._left()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._left()
        super().connection_lost(exc)

    def _left(self) -> None:
        told, self.on_gone = self.on_gone, None
        if told:
            told()


class _BrokenStream(Exception):
    """An answer that failed in its middle: it ends without the mark of its end, so that nobody takes it for whole."""


class Connection:
    """`run` lasts as long as the connection does. `state` says what it is doing, for the listener."""

    def __init__(
        self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, guard: Guard,
        routes: Mapping[str, Route], limits: Limits,
    ) -> None:  # fmt: skip
        self.state: Literal["new", "idle", "busy"] = "new"
        self.is_closing = False
        """No request after this one."""
        self._wire, self._reader, self._writer = wire, reader, writer
        self._guard, self._routes, self._limits = guard, routes, limits

    async def run(self) -> None:
        try:
            while await self._exchange():
                self.state = "idle"
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, h11.LocalProtocolError):
            self.abort()  # it left, or let an answer lie: what is not sent by now never will be
        except _BrokenStream:
            pass
        except Exception as error:
            _log(error)
            self.abort()
        finally:
            self._writer.close()

    def abort(self) -> None:
        """Ends it at once; not even the kernel keeps what was not read."""
        with suppress(OSError):
            self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._writer.transport.abort()

    async def _exchange(self) -> bool:
        """One request and its answer. False: the connection ends here."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.header_bytes)
        try:
            request = await self._read_head(parser)
            if request is None:
                return False
            route, authorised = self._guard.admit(request, self._routes)
            if authorised:
                self.state = "busy"
            body = await self._read_body(parser, request, self._limits.body_bytes if authorised else 0)
            request = replace(request, body=body, authorised=authorised)
        except (HttpError, h11.RemoteProtocolError) as error:
            await self._refuse(parser, error)
            return False
        keeps = parser.their_state is h11.DONE and not self.is_closing
        try:
            async with asyncio.timeout(None) as scope:
                self._wire.on_gone = lambda: scope.reschedule(0)
                await self._answer(parser, route, request, keeps)
        finally:
            self._wire.on_gone = None
        return keeps and not self.is_closing

    async def _read_head(self, parser: h11.Connection) -> Request | None:
        """None where the client leaves instead, or asks nothing more."""
        limits, first = self._limits, b""
        wait = limits.header_seconds if self.state == "new" else limits.idle_seconds
        try:
            async with asyncio.timeout(wait) as scope:
                first = await self._reader.read(1)
                if not first:
                    return None
                if self.state != "new":
                    scope.reschedule(asyncio.get_running_loop().time() + limits.header_seconds)
                head = first + await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise HttpError(431, f"the header is larger than {limits.header_bytes} bytes") from None
        except TimeoutError:
            if self.state == "idle" and not first:
                return None
            raise HttpError(408, "the header took too long") from None
        check_head(head, limits)
        parser.receive_data(head)
        event = parser.next_event()
        if not isinstance(event, h11.Request):
            raise HttpError(400, "this is no request")
        return to_request(event)

    async def _read_body(self, parser: h11.Connection, request: Request, limit: int) -> bytes:
        if int(request.headers.get("content-length", "0")) > limit:
            raise HttpError(413, f"the body is larger than {limit} bytes")
        if parser.they_are_waiting_for_100_continue:
            await self._write(parser.send(h11.InformationalResponse(status_code=100, headers=[])))
        body, chunks = bytearray(), 0
        start = asyncio.get_running_loop().time() + self._limits.body_grace_seconds
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                try:
                    async with asyncio.timeout_at(start + len(body) / self._limits.body_rate):
                        parser.receive_data(await self._reader.read(PIECE))
                except TimeoutError:
                    raise HttpError(408, "the body took too long") from None
            elif isinstance(event, h11.Data):
                body += event.data
                chunks += 1
                if len(body) > limit:
                    raise HttpError(413, f"the body is larger than {limit} bytes")
                if chunks > FREE_CHUNKS + len(body) // CHUNK_BYTES:
                    raise HttpError(400, "the body comes in too many small chunks")
            elif isinstance(event, h11.EndOfMessage):
                if parser.trailing_data[0]:
                    raise HttpError(400, "a second request before the first was answered")
                return bytes(body)
            else:
                raise ConnectionError  # it left in the middle

    async def _answer(self, parser: h11.Connection, route: Route, request: Request, keeps: bool) -> None:
        try:
            response = await route.handler(request)
            if not isinstance(response.body, bytes):
                await self._stream(parser, response, response.body, keeps)
                return
        except HttpError as error:
            response = error.response()
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            _log(error)
            if parser.our_state is not h11.SEND_RESPONSE:
                raise _BrokenStream from error
            response = HttpError(500, "the server made a mistake; its log says where").response()
        assert isinstance(response.body, bytes)
        await self._end(parser.send(_head(response, keeps)), parser.send(h11.Data(data=response.body)), parser)

    async def _stream(
        self, parser: h11.Connection, response: Response, body: AsyncGenerator[bytes], keeps: bool
    ) -> None:
        """Each part as it comes. What goes wrong before the first one has a status of its own."""
        async with aclosing(body) as parts:
            first = await anext(parts)
            await self._write(parser.send(_head(response, keeps)), parser.send(h11.Data(data=first)))
            async for part in parts:
                await self._write(parser.send(h11.Data(data=part)))
        await self._end(None, None, parser)

    async def _end(self, head: bytes | None, body: bytes | None, parser: h11.Connection) -> None:
        self._wire.on_gone = None  # from the last byte on, the client may ask again
        await self._write(head, body, parser.send(h11.EndOfMessage()))

    async def _refuse(self, parser: h11.Connection, error: HttpError | h11.RemoteProtocolError) -> None:
        """The error, and the end of the connection: what follows on it may be no request."""
        if isinstance(error, h11.RemoteProtocolError):
            error = HttpError(error.error_status_hint, "this is not HTTP/1.1 as it should be")
        response = error.response()
        if parser.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            data = parser.send(_head(response, False))
            assert isinstance(response.body, bytes)
            body: list[bytes | None] = []
            with suppress(h11.LocalProtocolError):  # an answer to HEAD has none
                body = [parser.send(h11.Data(data=response.body)), parser.send(h11.EndOfMessage())]
            await self._write(data, *body)
        with suppress(OSError, TimeoutError):  # closing with data unread would take the answer back
            self._writer.write_eof()
            async with asyncio.timeout(LINGER_SECONDS):
                left = LINGER_BYTES
                while left > 0 and (piece := await self._reader.read(PIECE)):
                    left -= len(piece)

    async def _write(self, *data: bytes | None) -> None:
        """Raises TimeoutError for a client that does not read."""
        self._writer.writelines(part for part in data if part)
        async with asyncio.timeout(self._limits.write_seconds):
            await self._writer.drain()


def _head(response: Response, keeps: bool) -> h11.Response:
    headers = {
        "Content-Type": response.content_type,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **response.headers,
    }
    if isinstance(response.body, bytes):
        headers["Content-Length"] = str(len(response.body))
    if not keeps:
        headers["Connection"] = "close"
    return h11.Response(status_code=response.status, headers=list(headers.items()))


def _log(error: Exception) -> None:
    """Where it happened, without the error's own words: they may quote what somebody wrote."""
    places = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)))
    sys.stderr.write(f"error: {type(error).__name__} while answering:\n{places}")
    sys.stderr.flush()
