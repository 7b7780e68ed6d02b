"""The engine's HTTP layer alone, in this process, with handlers that say what of them has run."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import closing, contextmanager, suppress

from inference_server_house import Answer, read_answer

from inference_backend.server.guard import LOOPBACK_NAMES, Guard
from inference_backend.server.listener import HttpServer, listen
from inference_backend.server.message import HttpError, Limits, Request, Response, Route, json_response
from inference_backend.server.strict_json import read_object

TOKEN = "t" * 43
LIMITS = Limits(
    header_seconds=0.4, idle_seconds=0.4, body_bytes=1 << 20, body_grace_seconds=0.4, body_rate=1 << 20,
    write_seconds=0.5, connections=16,
)  # fmt: skip


class Site:
    """What the server under test does, and what of it has run."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.ended: list[str] = []
        self.routes = {
            "/open": Route("GET", self.open, open=True),
            "/get": Route("GET", self.get),
            "/echo": Route("POST", self.echo),
            "/json": Route("POST", self.json),
            "/stream": Route("POST", self.stream),
            "/hang": Route("POST", self.hang),
            "/fails": Route("GET", self.fails),
        }

    async def open(self, request: Request) -> Response:
        return json_response({"authorised": request.authorised})

    async def get(self, request: Request) -> Response:
        self.ran.append("get")
        return json_response({"path": request.path})

    async def echo(self, request: Request) -> Response:
        self.ran.append("echo")
        return Response(body=request.body, content_type="text/plain")

    async def json(self, request: Request) -> Response:
        return json_response(read_object(request.body))

    async def stream(self, request: Request) -> Response:
        return Response(body=self.parts(json.loads(request.body)), content_type="text/event-stream")

    async def parts(self, plan: dict[str, int]) -> AsyncGenerator[bytes]:
        try:
            for _ in range(plan["count"]):
                yield b"x" * plan["size"]
                await asyncio.sleep(0)
            if plan.get("fail"):
                raise HttpError(429, "later") if plan["fail"] == 1 else ValueError("se" + "cret")
            if plan.get("wait"):
                await asyncio.Event().wait()
        finally:
            self.ended.append("stream")

    async def hang(self, request: Request) -> Response:
        self.ran.append("hang")
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append("hang")
        raise AssertionError

    async def fails(self, request: Request) -> Response:
        raise ValueError(request.headers["x-words"])


class House:
    """The server in a thread with a loop of its own."""

    def __init__(self, sockets: list[socket.socket], limits: Limits) -> None:
        self.site, self.limits, self.sockets = Site(), limits, sockets
        self.address = sockets[0].getsockname()
        port = self.address[1] if isinstance(self.address, tuple) else None
        self.http = HttpServer(sockets, Guard(TOKEN, LOOPBACK_NAMES, port), self.site.routes, limits)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(20)

    def connect(self) -> socket.socket:
        if not isinstance(self.address, tuple):
            wire = socket.socket(socket.AF_UNIX)
            wire.connect(self.address)
            return wire
        return socket.create_connection(self.address[:2], timeout=20)

    def head(self, method: str = "GET", path: str = "/get", **fields: str | None) -> bytes:
        port = self.address[1] if isinstance(self.address, tuple) else 80
        head = {"Host": f"localhost:{port}", "Authorization": f"Bearer {TOKEN}", "Connection": "close"}
        if method == "POST":
            head["Content-Type"] = "application/json"
        head |= {name.replace("_", "-"): value for name, value in fields.items()}
        lines = [
            f"{method} {path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in head.items() if value is not None),
        ]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"

    def post(self, path: str, body: bytes, **fields: str | None) -> bytes:
        return self.head("POST", path, **{"Content-Length": str(len(body)), **fields}) + body

    def ask(self, data: bytes) -> Answer:
        with closing(self.connect()) as wire, suppress(BrokenPipeError, ConnectionResetError):
            wire.sendall(data)
            return read_answer(wire)
        return Answer(0, {}, b"")

    def until(self, what) -> None:
        waiter = threading.Event()
        for _ in range(2000):
            if what():
                return
            waiter.wait(0.005)
        raise AssertionError("it never came to pass")


@contextmanager
def serving(sockets: list[socket.socket] | None = None, limits: Limits = LIMITS) -> Iterator[House]:
    house = House(sockets or listen("127.0.0.1", 0), limits)
    house.thread.start()
    try:
        house.do(house.http.start())
        yield house
    finally:
        house.do(house.http.close(0))
        house.loop.call_soon_threadsafe(house.loop.stop)
        house.thread.join()
        house.loop.close()
        for each in house.sockets:
            each.close()
