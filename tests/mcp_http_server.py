"""An MCP server over HTTP on loopback, of 2025-11-25, that answers as a test wants. Plain `http.server`: nothing to wait for."""

import gzip
import json
import queue
import random
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class Asked:
    """One request as it came. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any = None


@dataclass
class McpHttpServer:
    """`refusal` (status, headers) is what every request gets while it is set; `mute` methods of HTTP get no answer.

    The tool `big` answers with a text of `size` characters, hard to pack where `noise` is asked for; as JSON or, where `events`
    is set, as one event. `gather` calls must be under way at once before any of them is answered.
    At `/sse` it speaks the older transport, whose messages go to `endpoint`.
    """

    refusal: tuple[int, dict[str, str]] | None = None
    mute: frozenset[str] = frozenset()
    events: bool = False
    packed: bool = False
    gather: int = 0
    endpoint: str = "/messages?session=1"
    sessions: set[str] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        outer, self.ended = self, threading.Event()
        self._gathered = threading.Condition()
        self.answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

        class Handler(_Handler):
            server_of = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def methods(self) -> list[str]:
        """What was asked for by JSON-RPC, in order."""
        return [asked.body["method"] for asked in self.asked if isinstance(asked.body, dict) and "method" in asked.body]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self.answers.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def page(self, asked: Asked) -> tuple[int, bytes, dict[str, str]] | None:
        """Answers everything that is not MCP; None is MCP. For servers that are more than this one."""
        return (self.refusal[0], b"no", {"content-type": "text/plain", **self.refusal[1]}) if self.refusal else None

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if method == "initialize":
            about = {"name": "fake", "version": "1"}
            return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about}
        if method == "tools/list":
            return {"tools": [{"name": "big", "inputSchema": {"type": "object"}}]}
        if method == "tools/call":
            self._wait_for_others()
            given = params.get("arguments", {})
            size = int(given.get("size", 1))
            text = random.Random(1).randbytes(size // 2).hex() if given.get("noise") else "x" * size
            return {"content": [{"type": "text", "text": text}]}
        return None

    def _wait_for_others(self) -> None:
        with self._gathered:
            self.gather = max(0, self.gather - 1)
            self._gathered.notify_all()
            self._gathered.wait_for(lambda: not self.gather or self.ended.is_set(), 60)


class _Handler(BaseHTTPRequestHandler):
    server_of: McpHttpServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _stream(self) -> None:
        """The transport of 2024-11-05: answers come here."""
        server = self.server_of
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(f"event: endpoint\ndata: {server.endpoint}\n\n".encode())
        try:
            while (body := server.answers.get()) is not None:
                self.wfile.write(b"event: message\ndata: " + body + b"\n\n")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _serve(self) -> None:
        server = self.server_of
        data = self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        is_json = data and "json" in headers.get("content-type", "")
        asked = Asked(self.command, self.path, headers, json.loads(data) if is_json else data.decode())
        server.asked.append(asked)
        if self.command in server.mute:
            server.ended.wait(60)
            self.close_connection = True
        elif (page := server.page(asked)) is not None:
            self._send(*page)
        elif self.path == "/sse":
            self._stream()
        elif self.command != "POST":
            self._send(405 if self.command == "GET" else 200)
        else:
            self._rpc(asked)

    def _rpc(self, asked: Asked) -> None:
        server, message = self.server_of, asked.body
        if "id" not in message:
            self._send(202)
            return
        if message["method"] == "initialize":
            server.sessions.add("s1")
        elif "mcp-session-id" in asked.headers and asked.headers["mcp-session-id"] not in server.sessions:
            self._send(404)
            return
        result = server.answer(message["method"], message.get("params") or {})
        reply: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        reply |= {"result": result} if result is not None else {"error": {"code": -32601, "message": "no such method"}}
        body, more = json.dumps(reply).encode(), {"content-type": "application/json"}
        if self.path == server.endpoint:
            server.answers.put(body)
            self._send(202)
            return
        if server.events:
            body, more = b"event: message\ndata: " + body + b"\n\n", {"content-type": "text/event-stream"}
        if server.packed:
            body, more = gzip.compress(body), more | {"content-encoding": "gzip"}
        if message["method"] == "initialize":
            more["mcp-session-id"] = "s1"
        self._send(200, body, more)

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):  # the client had enough
            self.close_connection = True
