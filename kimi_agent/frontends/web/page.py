"""One page in a browser, as the server writes to it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

ENDED, ELSEWHERE, TOO_MANY, STOPPED = 4000, 4001, 4002, 4003
"""Why the server closes a page; page.js has the words."""
FULL = 1 << 20
"""Bytes that may wait for a slow browser before the program is held back."""
_CLOSING_S = 2.0


class Page:
    """Sends what is written to it over a websocket, in order. `on_room` is called when a full page takes more again."""

    def __init__(self, socket: Any, on_room: Callable[[], None] = lambda: None) -> None:
        self._socket, self._on_room = socket, on_room
        self._waiting = bytearray()
        self._some, self._sent = asyncio.Event(), asyncio.Event()
        self._sent.set()
        self._sender = asyncio.create_task(self._send())

    @property
    def is_full(self) -> bool:
        return len(self._waiting) > FULL

    def write(self, data: bytes) -> None:
        self._waiting += data
        self._sent.clear()
        self._some.set()

    async def close(self, code: int) -> None:
        """Send what waits, then close with `code`. A browser that does not take it is not waited for."""
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_CLOSING_S):
                await self._sent.wait()
                await self._socket.close(code=code)
        self.drop()

    def drop(self) -> None:
        """The browser has gone."""
        self._sender.cancel()

    async def _send(self) -> None:
        with suppress(ConnectionError):
            while await self._some.wait():
                self._some.clear()
                data, self._waiting = bytes(self._waiting), bytearray()
                await self._socket.send_bytes(data)
                self._on_room()
                if not self._waiting:
                    self._sent.set()
