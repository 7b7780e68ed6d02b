"""The life of a server: its address and token, the load of its model, requests, and an end that waits for them."""

import asyncio
import fcntl
import signal
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from inference_backend.errors import CapacityError, EngineError, RequestError
from inference_backend.server.announce import Announcer
from inference_backend.server.app import App
from inference_backend.server.guard import LOOPBACK_NAMES, Guard
from inference_backend.server.listener import HttpServer, listen, listen_unix
from inference_backend.server.loading import ModelOptions, open_model
from inference_backend.server.message import Limits
from inference_backend.server.metrics import Metrics
from inference_backend.server.secret import HeldToken, state_folder
from inference_backend.server.served import Served

DRAIN_SECONDS = 30.0
WATCH_SECONDS = 1.0
FAILURE_SECONDS = 2.0
"""For telling those who wait for an answer that the engine has failed."""
OUT_OF_MEMORY = ("MemoryError", "_ArrayMemoryError", "OutOfMemoryError")
"""Python's, NumPy's and torch's."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    model: ModelOptions
    host: str = "localhost"
    port: int = 8000
    socket: Path | None = None
    """A unix socket in place of host and port."""
    allow_hosts: tuple[str, ...] = ()
    """Further names by which clients may call the server."""
    token_file: Path | None = None
    """Where the token lies; one that is not there is made, and removed at the end."""
    drain_seconds: float = DRAIN_SECONDS
    limits: Limits = field(default_factory=Limits)
    idle_exit: float = 0.0
    """Seconds without a request after which the server ends by itself; 0: never."""
    users: Path | None = None
    """A file on which programs that use the server hold a lock: while one does, it is not idle."""


def serve(options: ServeOptions, announcer: Announcer) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. Raises EngineError where it cannot begin.

    Afterwards both signals are ignored: what is left to do is little, and is not to be left half done.
    """
    is_remote = options.socket is None and not _is_loopback(options.host)
    if is_remote and (options.token_file is None or not options.token_file.exists()):
        raise RequestError(
            f"{options.host} can be reached from other machines, so the token must be one that you chose",
            "Put it into a file that you alone can read, and name that file with --token-file.",
        )
    sockets = [listen_unix(options.socket)] if options.socket else listen(options.host, options.port)
    try:
        held = _token(options, sockets[0])
        try:
            if is_remote:
                announcer.warn(
                    f"{options.host} can be reached from other machines, and the connection is not encrypted"
                )
            return asyncio.run(_Life(options, announcer, sockets, held.token, held.path).run())
        finally:
            held.release()
    finally:
        for each in sockets:
            each.close()
        if options.socket:
            options.socket.unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _token(options: ServeOptions, listening: socket.socket) -> HeldToken:
    """A new token, or the one in the file that a person named."""
    if options.token_file is not None:
        return HeldToken(options.token_file)
    place = options.socket.name if options.socket else str(listening.getsockname()[1])
    path = state_folder() / f"serve-{place}.token"
    path.unlink(missing_ok=True)  # of a server that was killed: the address is ours now
    return HeldToken(path)


def _names(options: ServeOptions) -> Iterable[str]:
    host = options.host
    return (*LOOPBACK_NAMES, f"[{host}]" if ":" in host else host, *options.allow_hosts)


class _Life:
    """One server from its first connection to its last."""

    def __init__(
        self, options: ServeOptions, announcer: Announcer, sockets: list[socket.socket], token: str, token_file: Path
    ) -> None:
        self._options, self._announcer, self._token_file = options, announcer, token_file
        self._metrics = Metrics(lambda: self._http.connections)
        self._app = App(self._metrics, options.limits, options.model.served_name)
        port = None if options.socket else sockets[0].getsockname()[1]
        self._url = f"http://localhost:{port}/v1" if port else "http://localhost/v1"
        if port and options.host != "localhost":
            self._url = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}/v1"
        self._http = HttpServer(sockets, Guard(token, _names(options), port), self._app.routes, options.limits)

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        for number in SIGNALS:
            loop.add_signal_handler(number, ending.set)
        await self._http.start()  # /health tells how far the load is
        self._announcer.listening(self._url, self._options.socket, self._token_file)
        loading = self._load()
        waiting = asyncio.ensure_future(ending.wait())
        both: set[asyncio.Future[Any]] = {loading, waiting}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if ending.is_set():
                return 0
            served = loading.result()
            self._app.serve(served)
            self._announcer.ready(served, self._url, self._options.socket, self._token_file)
            watching = asyncio.ensure_future(_watch(served, self._options.idle_exit, self._options.users))
            await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
            watching.cancel()
            if served.engine.failure:
                self._app.drain()
                await self._http.close(FAILURE_SECONDS)
                raise EngineError(served.engine.failure, "Start the server again. If that does not help, report it.")
            await self._end(served)
        finally:
            waiting.cancel()
            await self._http.close(0)
            for number in SIGNALS:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)
        return 0

    async def _end(self, served: Served) -> None:
        """What is being answered has its time to end; a second signal ends it at once."""
        self._app.drain()
        loop = asyncio.get_running_loop()
        closing = loop.create_task(self._http.close(self._options.drain_seconds))
        for number in SIGNALS:
            loop.add_signal_handler(number, closing.cancel)
        await asyncio.sleep(0)  # from now on nobody is let in
        self._announcer.draining(self._options.drain_seconds, self._http.busy)
        with suppress(asyncio.CancelledError):
            await closing
        await served.engine.close()

    def _load(self) -> "asyncio.Future[Served]":
        """Loads in a thread that nobody waits for when the server ends before it is done."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Served] = loop.create_future()

        def settle(served: Served | None, error: BaseException | None) -> None:
            if done.done():
                return
            if served is not None:
                done.set_result(served)
            else:
                done.set_exception(error or EngineError("the model was not loaded"))

        def progress(what: str, part: int, total: int) -> None:
            self._app.loaded = (what, part, total)
            self._announcer.loading(what, part, total)

        def work() -> None:
            served, error = None, None
            try:
                served = open_model(self._options.model, progress)
            except BaseException as caught:
                error = _no_memory() if type(caught).__name__ in OUT_OF_MEMORY else caught
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, served, error)

        threading.Thread(target=work, name="load", daemon=True).start()
        return done


def _no_memory() -> CapacityError:
    return CapacityError(
        "there is not enough memory for the weights and the cache",
        "`--plan` tells what the model takes; --cache-gb and --context make the cache smaller.",
    )


async def _watch(served: Served, idle_exit: float, users: Path | None) -> None:
    """Returns once the engine has failed, or nothing was computed, and nobody held the lock, for `idle_exit` seconds."""
    loop = asyncio.get_running_loop()
    since, steps = loop.time(), -1
    while not (served.engine.failure or (idle_exit and loop.time() - since >= idle_exit)):
        await asyncio.sleep(min(WATCH_SECONDS, idle_exit / 2 or WATCH_SECONDS))
        now = served.engine.stats()
        if now.steps != steps or now.running or now.waiting or (users is not None and _is_held(users)):
            since, steps = loop.time(), now.steps


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
