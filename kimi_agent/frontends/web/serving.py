"""Runs the server until it is told to end, and ends every program with it."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

from aiohttp import web

from kimi_agent.frontends.web.guard import Guard
from kimi_agent.frontends.web.places import Places
from kimi_agent.frontends.web.server import make_app

_ENDS = {signal.SIGINT: 0, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGHUP: 128 + signal.SIGHUP}
_CLOSING_S = 1.0


async def serve(listener: socket.socket, places: Places, title: str, announce: Callable[[str], None]) -> int:
    """Serve on `listener` until a signal comes; answers an exit code. `announce` is given the address with its token."""
    guard = Guard()
    end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def leave(code: int) -> None:
        if not end.done():
            end.set_result(code)

    for number, code in _ENDS.items():
        asyncio.get_running_loop().add_signal_handler(number, leave, code)
    asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, places.wake)
    _mute_aiohttp()
    runner = web.AppRunner(make_app(places, guard, title), access_log=None, shutdown_timeout=_CLOSING_S)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        announce(f"{address(listener)}/?token={guard.token}")
        return await end
    finally:
        await places.close()
        await runner.cleanup()


def _mute_aiohttp() -> None:
    """Its messages quote requests that it could not read, and so the token and the cookie."""
    logger = logging.getLogger("aiohttp")
    logger.handlers, logger.propagate = [logging.NullHandler()], False


def address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
