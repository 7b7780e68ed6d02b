"""The address on this machine that a sign-in comes back to: one page, for one answer."""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from kimi_agent.core.errors import KimiError

HOST = "127.0.0.1"
"""Not `localhost`, which may be another address, or another machine (RFC 8252, 8.3)."""
PATH = "/callback"
_HEAD = 16_384
_PATIENCE = 10.0
_PAGE = """HTTP/1.1 {status}\r
Content-Type: text/html; charset=utf-8\r
Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r
Cache-Control: no-store\r
Referrer-Policy: no-referrer\r
X-Content-Type-Options: nosniff\r
Connection: close\r
\r
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>kimi</title>
<style>:root{{color-scheme:light dark}}
body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:34rem;margin:20vh auto;padding:0 1.5rem}}</style>
</head><body><h1>{title}</h1><p>{text}</p></body></html>
"""
_GRANTED = ("200 OK", "Back to your terminal", "kimi has the answer and goes on there. You can close this page.")
_DENIED = ("200 OK", "Not signed in", "The server did not grant it. Your terminal says why; you can close this page.")
_UNKNOWN = ("400 Bad Request", "Nothing is waiting for this", "This page belongs to no sign-in that is under way.")


class WrongAnswer(Exception):
    """What came is no answer to what was asked; the wait goes on. The words are ours alone."""


class Listener:
    """Listens while the `with` block lasts. `port` 0 is any; `refused` hears of answers that were not taken."""

    def __init__(self, port: int, refused: Callable[[str], None]) -> None:
        self.port, self._refused = port, refused
        self.state = ""
        """What an answer must bring. Until it is set, none is taken."""
        self.answer: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._server: asyncio.Server | None = None

    @property
    def redirect(self) -> str:
        return f"http://{HOST}:{self.port}{PATH}"

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._serve, HOST, self.port, limit=_HEAD)
        except OSError as error:
            raise KimiError(f"port {self.port} of {HOST} cannot be had: {error.strerror or error}") from None
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.answer.cancel()

    def take(self, url: str) -> dict[str, str]:
        """The parameters of an address that the browser was sent to, or of its query alone. Raises WrongAnswer."""
        try:
            query = urlsplit(url.strip()).query or url.strip().lstrip("?")
            found = {name: values[0] for name, values in parse_qs(query, max_num_fields=50).items() if len(values) == 1}
        except ValueError:
            found = {}
        if not found.get("code") and "error" not in found:
            raise WrongAnswer("that is not the address that the browser was sent to at the end")
        if not self.state or not secrets.compare_digest(found.get("state", "").encode(), self.state.encode()):
            raise WrongAnswer("an answer to another sign-in was refused: its `state` is not ours")
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status, title, text = self._answered(head.decode("latin-1"))
                writer.write(_PAGE.format(status=status, title=title, text=text).encode())
                await writer.drain()
        writer.close()

    def _answered(self, head: str) -> tuple[str, str, str]:
        first, *fields = head.split("\r\n")
        method, _, rest = first.partition(" ")
        target = rest.partition(" ")[0]
        hosts = [
            value.strip() for name, _, value in (field.partition(":") for field in fields) if name.lower() == "host"
        ]
        if method != "GET" or target.partition("?")[0] != PATH or hosts != [f"{HOST}:{self.port}"]:
            return _UNKNOWN
        try:
            found = self.take(target)
        except WrongAnswer as error:
            self._refused(str(error))
            return _UNKNOWN
        if not self.answer.done():
            self.answer.set_result(found)
        return _GRANTED if "error" not in found else _DENIED
