"""Where connections come in: sockets of this machine alone, a bounded number of connections, an end that waits for answers."""

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from inference_backend.errors import EngineError
from inference_backend.server.connection import Connection, Wire
from inference_backend.server.guard import Guard
from inference_backend.server.message import Limits, Route

BACKLOG = 128
FREE_PORT_TRIES = 4


class ListenError(EngineError):
    """The address is in use, or cannot be listened on."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on `port` (0: a free one) of `host`, of both loopback addresses for `localhost`. Raises ListenError."""
    hosts = ["127.0.0.1", "::1"] if host == "localhost" else [host]
    for _ in range(FREE_PORT_TRIES if port == 0 else 0):
        with suppress(ListenError):  # the port may be free on one address only
            return _listen(hosts, 0)
    return _listen(hosts, port)


def _listen(hosts: list[str], port: int) -> list[socket.socket]:
    found: list[socket.socket] = []
    for each in hosts:
        family = socket.AF_INET6 if ":" in each else socket.AF_INET
        try:
            one = socket.create_server((each, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if found and error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):  # a machine without IPv6
                continue
            for other in found:
                other.close()
            raise _wrong(error, f"{each}, port {port}") from None
        one.setblocking(False)
        found.append(one)
        port = one.getsockname()[1]
    return found


def listen_unix(path: Path) -> socket.socket:
    """A socket at `path` for its owner alone. One that a dead server left is replaced. Raises ListenError."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.lstat().st_mode) and not _answers(path):
            path.unlink()
        before = os.umask(0o177)
        try:
            one.bind(str(path))
        finally:
            os.umask(before)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        raise _wrong(error, str(path)) from None
    one.setblocking(False)
    return one


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe, suppress(OSError):
        probe.connect(str(path))
        return True
    return False


def _wrong(error: OSError, where: str) -> ListenError:
    if error.errno == errno.EADDRINUSE:
        return ListenError(
            f"something listens on {where} already", "Choose another --port (0: a free one) or --socket."
        )
    return ListenError(
        f"cannot listen on {where}: {os.strerror(error.errno or 0)}", "Choose another --host, --port or --socket."
    )


class HttpServer:
    """Serves `routes` on `sockets` from `start` to `close`."""

    def __init__(
        self, sockets: list[socket.socket], guard: Guard, routes: Mapping[str, Route], limits: Limits | None = None
    ) -> None:
        self._sockets, self._guard, self._routes = sockets, guard, routes
        self._limits = limits or Limits()
        self._servers: list[asyncio.Server] = []
        self._open: dict[Connection, tuple[str, asyncio.Task[None]]] = {}  # by age; the client's address

    @property
    def connections(self) -> int:
        return len(self._open)

    @property
    def busy(self) -> int:
        """Connections with a request that is being answered."""
        return sum(connection.state == "busy" for connection in self._open)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        for one in self._sockets:
            if one.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(self._accept, sock=one))
            else:
                self._servers.append(await loop.create_server(self._accept, sock=one))

    async def close(self, seconds: float) -> None:
        """No new connection; what is being answered has `seconds` to end, then it is broken off."""
        for server in self._servers:
            server.close()
        for connection in list(self._open):
            connection.is_closing = True
            if connection.state != "busy":
                connection.abort()
        tasks = [task for _, task in self._open.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self) -> asyncio.Protocol:
        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            address = writer.get_extra_info("peername")
            self._connected(wire, reader, writer, str(address[0]) if isinstance(address, tuple) else "")

        wire = Wire(connected, self._limits.header_bytes)
        return wire

    def _connected(self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str) -> None:
        if not self._has_room(address):
            writer.write(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        connection = Connection(wire, reader, writer, self._guard, self._routes, self._limits)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._open[connection] = (address, task)
        task.add_done_callback(lambda _: self._open.pop(connection, None))

    def _has_room(self, address: str) -> bool:
        """Makes room by ending the oldest connection that has not shown a token, else one that only waits to ask again."""
        remote = address not in ("", "127.0.0.1", "::1")
        if remote and sum(each == address for each, _ in self._open.values()) >= self._limits.connections_per_host:
            return False
        if len(self._open) < self._limits.connections:
            return True
        for state in ("new", "idle"):
            for connection in self._open:
                if connection.state == state:
                    self._open.pop(connection)
                    connection.abort()
                    return True
        return False
