"""A real web server on loopback for tests of what searches and reads: pages by path, and what was asked for.

with Site({"/": "<p>Hello</p>", "/search": Page({"results": []})}) as site:
    assert site.url == f"http://127.0.0.1:{site.port}"
"""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Page:
    """What a path answers: text as HTML, bytes as they are, anything else as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def data(self) -> tuple[str, bytes]:
        if isinstance(self.body, bytes):
            return "application/octet-stream", self.body
        if isinstance(self.body, str):
            return "text/html; charset=utf-8", self.body.encode()
        return "application/json", json.dumps(self.body).encode()


@dataclass(frozen=True)
class Asked:
    """A request that arrived; header names in lower case, `json` is None when the body is none."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    json: Any


class Site:
    """Each path answers with its page; of a list of pages, each is played once and the last one for ever."""

    def __init__(self, pages: Mapping[str, Any] | None = None) -> None:
        self.pages: dict[str, Any] = dict(pages or {})
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def answer(self, path: str) -> Page:
        found = self.pages.get(path, Page("not found", 404))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        return found if isinstance(found, Page) else Page(found)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                sent = json.loads(body) if body else None
                site.asked.append(Asked(self.command, parts.path, dict(parse_qsl(parts.query)), headers, sent))
                page = site.answer(parts.path)
                kind, data = page.data()
                self.send_response(page.status)
                for name, value in (
                    {"Content-Type": kind, "Content-Length": str(len(data))} | dict(page.headers)
                ).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = handle_any

            def log_message(self, *args: object) -> None:
                pass

        return Handler
