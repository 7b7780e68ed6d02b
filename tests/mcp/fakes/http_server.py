"""An MCP server over HTTP on loopback with one habit: `http_server.py [--log FILE] BEHAVIOUR [ARG...]`; prints its URL first.
`--port PORT` among its arguments: there, and not at any free one.

The class of a behaviour says what it does and what its arguments are. The log gets what mini.py writes, and the value of every
`authorization` header.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults import Big
from mini import ECHO, Server, text, tool

BODIES = {
    401: "who are you?",
    403: "not for you: quota of team 7",
    429: "slow down",
    500: "<h1>Oops</h1>",
    503: "in repair",
}


class Good(Server):
    """Behaves; answers with JSON, and keeps sessions."""

    path = "/mcp"
    streams = False

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.sessions, self.local = set(), threading.local()

    def refuses(self, request, message):
        """Whether `request` (the handler) has been answered otherwise."""
        session = request.headers.get("mcp-session-id")
        if message.get("method") in ("initialize", "server/discover") or session in self.sessions:
            return False
        words = {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32600, "message": "Session not found"}}
        request.reply(404, json.dumps(words), "application/json")
        return True

    def handle_http(self, request, message):
        if self.refuses(request, message):
            return
        if "id" not in message or "method" not in message:
            self.handle(message)
            request.reply(202)
            return
        self.local.request, self.local.begun = request, False
        answer = self.respond(message)
        if self.streams:
            if answer:
                self.send(answer)
            return
        headers = {}
        if message["method"] == "initialize" and "result" in answer:
            headers["mcp-session-id"] = f"session-{len(self.sessions) + 1}"
            self.sessions.add(headers["mcp-session-id"])
        request.reply(200, json.dumps(answer), "application/json", headers)

    def send(self, message):
        """An event in the stream that answers the request of this thread."""
        request = self.local.request
        if not self.local.begun:
            self.local.begun = True
            request.begin_stream()
        request.event("message", json.dumps(message))


class Streams(Big, Good):
    """Answers as event streams, without sessions. `work` tells progress, `big` answers `n` characters, `cut` breaks off."""

    streams = True

    def tools(self):
        return [*super().tools(), tool("work"), tool("cut")]

    def refuses(self, request, message):
        return False

    def call(self, name, arguments, request):
        if name == "work":
            for step in range(3):
                self.progress(request, step + 1, 3, f"step {step + 1}")
            return text("worked")
        if name == "cut":
            self.progress(request, 1)
            self.local.request.close_connection = True
            return None
        return super().call(name, arguments, request)


class LosesSession(Good):
    """Forgets all sessions after every ARG (1) tool calls."""

    def call(self, name, arguments, request):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls % int((*self.arguments, "1")[0]) == 0:
            self.sessions.clear()
        return super().call(name, arguments, request)


class Status(Good):
    """Answers every POST with status ARG (500) and a body; with a second ARG: only after so many tool calls."""

    def refuses(self, request, message):
        status, *good = (*self.arguments, "500")[: max(1, len(self.arguments))]
        if good and message.get("method") == "tools/call":
            self.calls = getattr(self, "calls", 0) + 1
        if good and getattr(self, "calls", 0) <= int(good[0]):
            return super().refuses(request, message)
        code, headers = int(status), {}
        if code == 401:
            where = f"http://127.0.0.1:{request.server.server_port}/.well-known/oauth-protected-resource"
            headers["www-authenticate"] = f'Bearer error="invalid_token", resource_metadata="{where}"'
        if code in (429, 503):
            headers["retry-after"] = "1"
        request.reply(code, BODIES.get(code, "no"), "text/plain", headers)
        return True


class Token(Good):
    """Lets in only who says `Authorization: Bearer ARG`."""

    def refuses(self, request, message):
        if request.headers.get("authorization") == f"Bearer {self.arguments[0]}":
            return super().refuses(request, message)
        request.reply(401, "no or wrong token", "text/plain", {"www-authenticate": "Bearer"})
        return True


class Slow(Good):
    """Waits ARG (3600) seconds before each answer; with a second ARG, `call`, only in tool calls."""

    def refuses(self, request, message):
        if "call" not in self.arguments or message.get("method") == "tools/call":
            time.sleep(float((*self.arguments, "3600")[0]))
        return super().refuses(request, message)


class Dies(Good):
    """`die` ends the process in the call."""

    def tools(self):
        return [ECHO, tool("die")]

    def call(self, name, arguments, request):
        return os._exit(3) if name == "die" else super().call(name, arguments, request)


class Redirects(Good):
    """Sends everybody on to the URL ARG."""

    def refuses(self, request, message):
        request.reply(307, headers={"location": self.arguments[0]})
        return True


class NoMcp(Good):
    """Answers everything with a web page."""

    def refuses(self, request, message):
        request.reply(200, "<!doctype html><title>Welcome</title>", "text/html")
        return True


class OldSse(Good):
    """The transport of 2024-11-05: GET /sse is the stream of all answers, POST /messages the way in."""

    path = "/sse"

    def open_stream(self, request):
        request.begin_stream()
        request.event("endpoint", "/messages?session=1")
        self.stream = request
        while not request.wfile.closed:
            time.sleep(0.05)

    def handle_http(self, request, message):
        request.reply(202)
        answer = self.respond(message) if "id" in message and "method" in message else self.handle(message)
        if answer:
            self.stream.event("message", json.dumps(answer))


BEHAVIOURS = {
    "good": Good,
    "streams": Streams,
    "loses_session": LosesSession,
    "status": Status,
    "token": Token,
    "slow": Slow,
    "dies": Dies,
    "redirects": Redirects,
    "no_mcp": NoMcp,
    "old_sse": OldSse,
}


def handler(fake):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            fake.note(f"authorization {self.headers.get('authorization')}")
            fake.handle_http(self, json.loads(body))

        def do_GET(self):
            if hasattr(fake, "open_stream"):
                fake.open_stream(self)
            else:
                self.reply(405)

        def do_DELETE(self):
            fake.note("session deleted")
            self.reply(200)

        def reply(self, status, body="", kind="text/plain", headers=None):
            data = body.encode()
            self.send_response(status)
            for name, value in {"content-type": kind, "content-length": len(data), **(headers or {})}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(data)

        def begin_stream(self):
            """A stream ends with the connection: no length, no chunks."""
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("connection", "close")
            self.end_headers()

        def event(self, name, data):
            self.wfile.write(f"event: {name}\ndata: {data}\n\n".encode())
            self.wfile.flush()

        def log_message(self, *_):
            pass

    return Handler


class Http(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # the client has gone
            super().handle_error(request, client_address)


def main(arguments):
    log = arguments[1] if arguments[:1] == ["--log"] else ""
    behaviour, *more = arguments[2 if log else 0 :]
    port = int(more.pop(more.index("--port") + 1)) if "--port" in more else 0
    fake = BEHAVIOURS[behaviour](tuple(more), log)
    http = Http(("127.0.0.1", port), handler(fake))
    print(f"http://127.0.0.1:{http.server_port}{fake.path}", flush=True)
    http.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
