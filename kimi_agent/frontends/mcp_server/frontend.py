"""The front end: serves until its input ends, or it is told to end."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.event import Mode
from kimi_agent.core.exit import ExitCode
from kimi_agent.frontends.mcp_server.door import Door
from kimi_agent.frontends.mcp_server.service import Service
from kimi_agent.frontends.mcp_server.stdio import wire
from kimi_agent.frontends.stdio import InputLines, Output

if TYPE_CHECKING:
    from kimi_agent.agent.agent import Agent

PATH = "/mcp"
QUIET = ("mcp", "uvicorn", "sse_starlette")
"""Loggers that would write to standard error what clients send."""


class McpServerFrontend:
    """`roots` are the folders that clients may name, the first of them where work begins; `mode` holds for every session.

    With a `listener` it serves HTTP to who knows the `token`, else the standard input and output.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        mode: Mode = "default",
        model: str | None = None,
        listener: socket.socket | None = None,
        token: str = "",
        stdin: int = 0,
        stdout: Output | None = None,
    ) -> None:
        self._roots, self._mode, self._model = roots, mode, model
        self._listener, self._token = listener, token
        self._stdin, self._stdout = stdin, stdout
        self._signal = 0
        self._stop: Callable[[], object] = lambda: None

    async def run(self, agent: "Agent") -> int:
        """Answers an `ExitCode`. Whatever still runs for a client ends with it."""
        with _quiet_loggers():
            service = Service(agent, self._roots, self._mode, self._model)
            with self._signals():
                try:
                    await self._serve(service)
                finally:
                    await service.aclose()
        return ExitCode(128 + self._signal) if self._signal else ExitCode.DONE

    async def _serve(self, service: Service) -> None:
        if self._listener is not None:
            await self._serve_http(service, self._listener)
            return
        server, lines = service.server(), InputLines(self._stdin)
        self._stop = lines.stop
        async with wire(lines, self._stdout or Output()) as (read, write):
            await server.run(read, write, server.create_initialization_options())

    async def _serve_http(self, service: Service, listener: socket.socket) -> None:
        import uvicorn

        class Server(uvicorn.Server):
            """Signals are ours."""

            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                yield

        port = listener.getsockname()[1]
        app = Door(service.server().streamable_http_app(streamable_http_path=PATH), self._token, port)
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=1
        )
        server = Server(config)
        self._stop = lambda: setattr(server, "should_exit", True)
        await server.serve(sockets=[listener])

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def stop(number: int) -> None:
            self._signal = number
            self._stop()

        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, stop, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


@contextlib.contextmanager
def _quiet_loggers() -> Iterator[None]:
    """With --debug they write to the log file; else nothing is to come from them, not even by logging's last resort."""
    silent = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in QUIET] if not logging.getLogger().handlers else []
    for logger in loggers:
        logger.addHandler(silent)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(silent)


def address(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
