"""The least of an MCP server: JSON-RPC by hand, so that it starts in a moment and can say what no SDK would.

`Server.handle` takes one message and answers the response, None where there is none (yet). Tool calls run in threads of their
own: they may be slow, send notifications and ask the client.
"""

import itertools
import json
import os
import sys
import threading
import time

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


def tool(name, description="", properties=None, **more):
    """The definition of a tool. `properties` are of its input schema, all required; `more` stands beside (annotations, ...)."""
    schema = {"type": "object", "properties": properties or {}, "required": list(properties or {})}
    return {"name": name, "description": description or f"Does {name}.", "inputSchema": schema, **more}


def text(words):
    return {"content": [{"type": "text", "text": words}]}


ECHO = tool("echo", "Says it again.", {"text": {"type": "string"}}, annotations={"readOnlyHint": True})


class RpcError(Exception):
    """The answer to a request is this error: code, message and, if given, data."""


class Server:
    """A well-behaved legacy server with the tool `echo`; behaviours change what they must."""

    capabilities = {"tools": {"listChanged": True}}
    instructions = ""

    def __init__(self, arguments=(), log=""):
        self.arguments, self._log = arguments, log
        self._lock, self._ids = threading.Lock(), itertools.count(1)
        self._asked = {}
        self.cancelled = set()
        self.initialized = False
        self.client = {}  # what it said in `initialize`
        self.note(f"start {os.getpid()}")

    def note(self, line):
        """Append to the log, which outlives this process: tests count starts and calls in it."""
        if self._log:
            with open(self._log, "a") as file:
                file.write(line + "\n")

    def noted(self, line):
        """How often that line stands in the log."""
        if not self._log or not os.path.exists(self._log):
            return 0
        with open(self._log) as file:
            return sum(known.rstrip("\n") == line for known in file)

    # --- what behaviours change ---------------------------------------------------------------------------------------

    def tools(self):
        return [ECHO]

    def call(self, name, arguments, request):
        """The result of a call, None where there never is one. `request` is the whole message."""
        if name == "echo":
            return text(arguments.get("text", ""))
        return {**text(f"there is no tool {name}"), "isError": True}

    def initialize(self, params):
        wanted = params.get("protocolVersion")
        return {
            "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[-1],
            "capabilities": self.capabilities,
            "serverInfo": {"name": type(self).__name__, "version": "1"},
            **({"instructions": self.instructions} if self.instructions else {}),
        }

    def other(self, method, params):
        """The result of a request of any other method."""
        raise RpcError(-32601, f"Method not found: {method}")

    def list_tools(self, params):
        return {"tools": self.tools()}

    # --- the machine --------------------------------------------------------------------------------------------------

    def handle(self, message):
        if "method" not in message:
            waiting = self._asked.pop(message.get("id"), None)
            if waiting:
                waiting(message)
            return None
        if "id" not in message:
            method, params = message["method"], message.get("params") or {}
            if method == "notifications/cancelled":
                self.note(f"cancelled {params.get('requestId')}")
                self.cancelled.add(params.get("requestId"))
            return None
        if message["method"] == "tools/call":
            threading.Thread(target=self._call, args=(message,), daemon=True).start()
            return None
        return self.respond(message)

    def _call(self, message):
        answer = self.respond(message)
        if answer is not None:
            self.send(answer)

    def respond(self, message):
        """The response to a request; None where there never is one."""
        method, params = message["method"], message.get("params") or {}
        self.note(f"call {params.get('name')}" if method == "tools/call" else method)
        try:
            result = self._result(message, method, params)
        except RpcError as error:
            code, words, *data = error.args
            body = {"code": code, "message": words, **({"data": data[0]} if data else {})}
            return {"jsonrpc": "2.0", "id": message["id"], "error": body}
        return None if result is None else {"jsonrpc": "2.0", "id": message["id"], "result": result}

    def _result(self, message, method, params):
        if method == "tools/call":
            return self.call(params.get("name"), params.get("arguments") or {}, message)
        if method == "initialize":
            self.initialized, self.client = True, params
            return self.initialize(params)
        if method == "ping":
            return {}
        if method == "tools/list":
            return self.list_tools(params)
        return self.other(method, params)

    def send(self, message):
        self.write(json.dumps(message).encode() + b"\n")

    def write(self, data):
        with self._lock:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def notify(self, method, params=None):
        self.send({"jsonrpc": "2.0", "method": method, "params": params or {}})

    def progress(self, request, done, total=None, message=""):
        token = (request["params"].get("_meta") or {}).get("progressToken")
        if token is not None:
            more = {"total": total} if total else {}
            self.notify(
                "notifications/progress", {"progressToken": token, "progress": done, "message": message, **more}
            )

    def ask(self, method, params=None):
        """Ask the client, from within a call; its `result`, or its `error`."""
        key, come, box = f"s{next(self._ids)}", threading.Event(), []
        self._asked[key] = lambda message: (box.append(message), come.set())
        self.send({"jsonrpc": "2.0", "id": key, "method": method, "params": params or {}})
        come.wait()
        return box[0].get("result", box[0].get("error"))

    def run(self):
        """Serve on standard input and output to the end of the input."""
        for line in sys.stdin.buffer:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            answer = self.handle(message)
            if answer is not None:
                self.send(answer)
        self.note("end of input")


def forever():
    while True:
        time.sleep(3600)
