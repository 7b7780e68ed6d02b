"""The real `kimi web` on a free port of loopback, and the pages and sockets of a client that has its token."""

import asyncio
import re
import signal
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aiohttp
import pyte
import warm_program
from kimi_program import Program

PATIENCE_S = 60.0


class WebServer:
    """`url` has the token, `base` is the address without it. Ends with the `with` block, whatever happened."""

    def __init__(self, program: Program, *arguments: str, **env: str) -> None:
        environment = program.environment(**env)
        self.process = warm_program.start(["web", "--no-open", *arguments], program.work, environment, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"(http://\S+)/\?token=(\S+)", line)
        assert found, line + self.end()[1]
        self.base, self.token = found[1], found[2]

    @property
    def url(self) -> str:
        return f"{self.base}/?token={self.token}"

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[str, str]:
        """Send the signal; what the server had written by its end."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return self.process.communicate(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.end()


class Visitor:
    """A browser without a screen: it has the cookie, and speaks the protocol of the page's terminal."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def __aenter__(self) -> Self:
        async with self.http.get(self._server.url) as response:
            assert response.status == 200
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.close()

    async def new_place(self) -> str:
        """The path of a new page."""
        async with self.http.get(self._server.base + "/") as response:
            return response.url.path

    async def open(self, place: str, *, width: int = 80, height: int = 24) -> "Tab":
        address = f"{self._server.base}{place}/socket?width={width}&height={height}"
        return Tab(await self.http.ws_connect(address, headers={"Origin": self._server.base}), width, height)


class Tab:
    """One open page: what is drawn on it, and typing into it."""

    def __init__(self, socket: Any, width: int, height: int) -> None:
        self.socket = socket
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)

    @property
    def visible(self) -> str:
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    async def type(self, text: str) -> None:
        await self.socket.send_json(["stdin", text])

    async def resize(self, width: int, height: int) -> None:
        self._screen.resize(height, width)
        await self.socket.send_json(["resize", {"width": width, "height": height}])

    async def expect(self, text: str) -> None:
        """Until `text` is seen. Fails when the page is closed before."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.visible:
                message = await self.socket.receive()
                assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), (message, self.visible)
                if message.type == aiohttp.WSMsgType.BINARY:
                    self._stream.feed(message.data)

    async def closed(self) -> int | None:
        """Until the server has closed it; answers the code."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.socket:
                if message.type == aiohttp.WSMsgType.BINARY:
                    self._stream.feed(message.data)
        return self.socket.close_code
