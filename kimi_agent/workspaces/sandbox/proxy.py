"""The way out of a box to named hosts: an HTTP proxy in this program, on a socket that listens on the box's own loopback.

A command that was granted hosts is told the proxy's address with a password of its own; the box has no other way out. What is
asked for must be a granted name, at port 443 or 80, at a public address; TLS must be for that name, and so must plain requests.
"""

import asyncio
import base64
import binascii
import contextlib
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, field

from kimi_agent.core.address import allows, host_name, is_public
from kimi_agent.workspaces.sandbox.hello import server_name
from kimi_agent.workspaces.sandbox.request import Refused, Request, authority, parse

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Dial = Callable[[str, int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
PORTS = (443, 80)
_HEAD = 16 << 10  # bytes of a request's head, and of a TLS greeting
_HEAD_S, _CONNECT_S, _IDLE_S = 15.0, 15.0, 300.0
_TOLD = 20  # refusals that are kept for a command's result
_MAX_BODY = 1 << 40


class Grant(Struct):
    """What one command may reach. `refused` says what it asked for in vain; `variables` tell it where the proxy is."""

    hosts: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def note(self, why: str) -> None:
        if why not in self.refused and len(self.refused) < _TOLD:
            self.refused.append(why)


class Proxy:
    """`resolve` and `dial` are how names are looked up and connections made."""

    def __init__(self, resolve: Resolve | None = None, dial: Dial | None = None) -> None:
        self._resolve = resolve or _resolve
        self._dial = dial or asyncio.open_connection
        self._grants: dict[str, Grant] = {}
        self._server: asyncio.Server | None = None
        self._port = 0
        self.loop: asyncio.AbstractEventLoop | None = None

    async def start(self, listening: socket.socket) -> None:
        self._port, self.loop = listening.getsockname()[1], asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=_HEAD)

    def grant(self, hosts: Sequence[str]) -> Grant:
        """Let one command reach these hosts (see `host_name`)."""
        word = secrets.token_urlsafe(24)
        url = f"http://kimi:{word}@127.0.0.1:{self._port}"
        variables = dict.fromkeys(VARIABLES, url) | dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1,::1")
        grant = self._grants[word] = Grant(tuple(hosts), variables)
        return grant

    def revoke(self, grant: Grant) -> None:
        """The command has ended: what it has told others is of no use any more."""
        self._grants = {word: known for word, known in self._grants.items() if known is not grant}

    async def aclose(self) -> None:
        if self._server is not None and self.loop is asyncio.get_running_loop():
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            grant = Grant()
            try:
                async with asyncio.timeout(_HEAD_S):
                    request = parse(await _read_head(reader))
                grant = self._granted(request)
                if request.method == "CONNECT":
                    await self._tunnel(request, grant, reader, writer)
                else:
                    await self._forward(request, grant, reader, writer)
            except Refused as why:
                grant.note(str(why))
                await _refuse(writer, str(why))
        writer.close()

    def _granted(self, request: Request) -> Grant:
        scheme, _, word = request.header("proxy-authorization").partition(" ")
        with contextlib.suppress(ValueError, binascii.Error):
            user, _, given = base64.b64decode(word, validate=True).decode().partition(":")
            if scheme.lower() == "basic" and user == "kimi" and given in self._grants:
                return self._grants[given]
        raise Refused("no host was granted to this command")

    async def _reach(self, host: str, port: int, granted: Sequence[str]) -> tuple[str, Sequence[str]]:
        """The name, checked, and its addresses, all of which are public. Raises Refused."""
        try:
            name = host_name(host)
        except ValueError as error:
            raise Refused(str(error)) from None
        if name.startswith("*") or not allows(granted, name):
            raise Refused(f"{name} is not among the granted hosts ({', '.join(granted)})")
        if port not in PORTS:
            raise Refused(f"port {port} of {name}: only 443 and 80 can be reached")
        try:
            addresses = await self._resolve(name, port)
        except OSError as error:
            raise Refused(f"{name} cannot be found: {error.strerror or error}") from None
        if not addresses or not all(map(is_public, addresses)):
            raise Refused(f"{name} is at an address inside this machine's network")
        return name, addresses

    async def _connect(self, addresses: Sequence[str], port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to one of the addresses that were checked: the name is not looked up again. Raises Refused."""
        problem: Exception | None = None
        for address in addresses[:4]:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    return await self._dial(address, port)
            except (OSError, TimeoutError) as error:
                problem = error
        raise Refused(f"no connection: {problem or 'no address'}")

    async def _tunnel(
        self, request: Request, grant: Grant, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        host, port = authority(request.target, 443)
        name, addresses = await self._reach(host, port, grant.hosts)
        there, out = await self._connect(addresses, port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await writer.drain()
        try:
            async with asyncio.timeout(_HEAD_S):
                first = await (_read_hello(reader) if port == 443 else _read_head(reader))
            said = server_name(first) if port == 443 else authority(parse(first).header("host"), 80)[0]
            if host_name(said) != name:
                raise Refused(f"a connection for {name} asks for {said}")
        except (ValueError, Refused) as why:
            grant.note(str(why))  # the tunnel is open: all that is left is to close it
        else:
            await _join(first, reader, writer, there, out, None)
        finally:
            out.close()

    async def _forward(
        self, request: Request, grant: Grant, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One plain request, with its body; the connection ends with the answer."""
        found = re.match(r"http://([^/?#]+)(.*)\Z", request.target, re.IGNORECASE)
        if not found:
            raise Refused("this is a proxy: requests name a whole http:// address")
        host, port = authority(found[1], 80)
        name, addresses = await self._reach(host, port, grant.hosts)
        if port != 80:
            raise Refused("plain requests go to port 80 alone")
        if request.header("host") and not _is_named(authority(request.header("host"), 80)[0], name):
            raise Refused(f"a request for {name} asks for another host")
        if request.header("transfer-encoding") or request.header("upgrade"):
            raise Refused("a body without a length, or another protocol, does not pass")
        length = request.header("content-length") or "0"
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
            raise Refused("the length of the body is no number")
        dropped = ("host", "connection", "proxy-connection", "proxy-authorization", "keep-alive")
        lines = [
            f"{request.method} {found[2] if found[2].startswith('/') else '/' + found[2]} HTTP/1.1",
            f"Host: {name}",
        ]
        lines += [f"{key}: {value}" for key, value in request.headers if key not in dropped]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
        there, out = await self._connect(addresses, port)
        try:
            await _join(head, reader, writer, there, out, int(length))
        finally:
            out.close()


async def _join(
    first: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    there: asyncio.StreamReader,
    out: asyncio.StreamWriter,
    length: int | None,
) -> None:
    """Join the two ends after `first`; of the client's side at most `length` bytes pass, None for all."""
    out.write(first)
    await out.drain()
    sending = asyncio.create_task(_pump(reader, out, length))
    try:
        await _pump(there, writer, None)
    finally:
        sending.cancel()


def _is_named(text: str, name: str) -> bool:
    try:
        return host_name(text) == name
    except ValueError:
        return False


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _refuse(writer: asyncio.StreamWriter, why: str) -> None:
    body = f"kimi: {why}\n".encode()
    head = f"HTTP/1.1 403 Forbidden\r\nX-Kimi-Blocked: {why}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode("latin-1", "replace") + body)
    await writer.drain()


async def _read_hello(reader: asyncio.StreamReader) -> bytes:
    """The first TLS record, whole. Raises Refused for what is none."""
    head = await reader.readexactly(5)
    size = int.from_bytes(head[3:], "big")
    if head[0] != 22 or head[1] != 3 or size > _HEAD:
        raise Refused("this is no TLS")
    return head + await reader.readexactly(size)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int | None) -> None:
    left = length
    with contextlib.suppress(OSError, TimeoutError):
        while left is None or left > 0:
            async with asyncio.timeout(_IDLE_S):
                piece = await reader.read(65536 if left is None else min(65536, left))
            if not piece:
                break
            left = left if left is None else left - len(piece)
            writer.write(piece)
            await writer.drain()
        if left is None and writer.can_write_eof():
            writer.write_eof()


async def _resolve(name: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))
