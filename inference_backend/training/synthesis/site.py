"""A web server on this machine for the pages of one world at a time."""

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

CLOSES_WITHIN = 0.05
"""Seconds that closing takes at most."""


class Site:
    """Serves `pages`, texts by path (`/menu.txt`), from a free port of loopback until it is closed."""

    def __init__(self) -> None:
        self.pages: Mapping[str, str] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": CLOSES_WITHIN}, daemon=True)
        self._thread.start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        text = self.pages.get(handler.path)
        body = (text or "not found").encode()
        kind = "text/html" if handler.path.endswith(".html") else "text/plain"
        handler.send_response(200 if text is not None else 404)
        handler.send_header("Content-Type", f"{kind}; charset=utf-8")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def close(self) -> None:
        """Its thread ends first: one that went on would poll whatever has the socket's number next, and so keep that open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
