"""Servers that are odd at their start, at their end, or in all that they write."""

import itertools
import os
import signal
import sys
import threading
import time

from mini import ECHO, RpcError, Server, forever, text, tool

MODERN = "2026-07-28"


class Good(Server):
    """Behaves. Tools: echo, fail (an error in the result), refuse (an error instead of a result), write (not read-only)."""

    instructions = "Say things with echo."

    def tools(self):
        return [ECHO, tool("fail"), tool("refuse"), tool("write", annotations={"destructiveHint": True})]

    def call(self, name, arguments, request):
        if name == "fail":
            return {**text("it failed"), "isError": True}
        if name == "refuse":
            raise RpcError(-32602, "refused")
        return text("written") if name == "write" else super().call(name, arguments, request)


class ExitsAtOnce(Server):
    """ARG (1) is the exit code; says why on standard error."""

    def run(self):
        sys.stderr.write("cannot start: the \x1b[31mlicence\x1b[0m is missing\n")
        sys.exit(int((*self.arguments, "1")[0]))


class HangsAtStart(Server):
    """Reads, and never says a word."""

    def handle(self, message):
        return None


class IgnoresProbe(Server):
    """Silent until `initialize` comes."""

    def handle(self, message):
        return super().handle(message) if self.initialized or message.get("method") == "initialize" else None


class RmcpLike(Server):
    """Ends with code 1 when the first request is not `initialize` (Rust's rmcp before 3)."""

    def handle(self, message):
        if not self.initialized and message.get("method") != "initialize":
            sys.stderr.write("ExpectedInitializeRequest\n")
            sys.stderr.flush()
            os._exit(1)
        return super().handle(message)


class ModernOnly(Server):
    """Refuses `initialize` with error code ARG (-32022); speaks 2026-07-28 alone."""

    def initialize(self, params):
        data = {"supported": [MODERN], "requested": params.get("protocolVersion", "")}
        raise RpcError(int((*self.arguments, "-32022")[0]), "Unsupported protocol version", data)

    def other(self, method, params):
        if method != "server/discover":
            return super().other(method, params)
        info = {"name": "ModernOnly", "version": "1"}
        return _complete(
            supportedVersions=[MODERN], capabilities={"tools": {}}, _meta={"io.modelcontextprotocol/serverInfo": info}
        )

    def list_tools(self, params):
        return _complete(tools=self.tools())

    def call(self, name, arguments, request):
        return {**super().call(name, arguments, request), "resultType": "complete"}


class ModernChanges(ModernOnly):
    """The same; `change` adds a tool, and tells whoever listens."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.added, self.listening = False, None

    def handle(self, message):
        if message.get("method") != "subscriptions/listen":
            return super().handle(message)
        self.listening = message["id"]
        self._tell("subscriptions/acknowledged", notifications=message["params"]["notifications"])
        return None

    def _tell(self, what, **params):
        about = {"io.modelcontextprotocol/subscriptionId": self.listening}
        self.notify(f"notifications/{what}", {"_meta": about, **params})

    def other(self, method, params):
        found = super().other(method, params)
        return {**found, "capabilities": self.capabilities} if method == "server/discover" else found

    def tools(self):
        return [ECHO, tool("change"), *([tool("added")] if self.added else [])]

    def call(self, name, arguments, request):
        if name == "change":
            self.added = True
            self._tell("tools/list_changed")
        return super().call(name, arguments, request)


def _complete(**fields):
    return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **fields}


class FloodsStderr(Server):
    """Writes to standard error without end, or ARG bytes, from its start on."""

    def run(self):
        threading.Thread(target=self._flood, daemon=True).start()
        super().run()

    def _flood(self):
        left = int((*self.arguments, "0")[0]) or 1 << 62
        while left > 0:
            left -= os.write(2, (b"warning: " + b"x" * 1000 + b"\n") * 60)


class FloodsStdout(Server):
    """Writes to standard output without end: `lines` that are no messages, one `line` before all else, or `news` of its tools."""

    def run(self):
        threading.Thread(target=self._flood, daemon=True).start()
        super().run()

    def _flood(self):
        news = b'{"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}\n'
        piece = {"lines": b"noise\n", "line": b"noise", "news": news}[self.arguments[0]] * 100
        while True:
            self.write(piece)
            time.sleep(0.001)  # lets an answer come between

    def send(self, message):
        if self.arguments[0] != "line":
            super().send(message)


class AsksForEver(Server):
    """From its list of tools on it sends `ping` without end, and reads nothing any more."""

    def list_tools(self, params):
        threading.Timer(0.1, self._ask).start()
        return super().list_tools(params)

    def _ask(self):
        with self._lock:  # nothing else is written
            for number in itertools.count():
                sys.stdout.write(f'{{"jsonrpc": "2.0", "id": "p{number}", "method": "ping"}}\n')

    def handle(self, message):
        return super().handle(message) if "method" in message else forever()


class Garbage(Server):
    """Bytes that are no text, and broken JSON, around every answer; ARG `line`: a line of 32 MiB without an end first."""

    def run(self):
        if "line" in self.arguments:
            for _ in range(32):
                self.write(b"x" * (1 << 20))
            self.write(b"\n")
        super().run()

    def send(self, message):
        self.write(bytes(range(128, 256)) + b"\x00\xff\n" + b'{"jsonrpc": "2.0", "id": 1, "resu\n' + b"[1, 2\nnull\n")
        super().send(message)
        self.write(b'{"jsonrpc": "2.0", "id": "nobody asked", "result": {}}\n{"id": 7}\n')


class Stubborn(Server):
    """Outlives the end of its input and SIGTERM."""

    def run(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        super().run()
        forever()


class DoubleForks(Server):
    """Leaves a daemonised child that sleeps; file ARG gets its process id."""

    def run(self):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                null = os.open(os.devnull, os.O_RDWR)
                for fd in (0, 1, 2):
                    os.dup2(null, fd)
                with open(self.arguments[0] + ".part", "w") as file:
                    file.write(str(os.getpid()))
                os.rename(self.arguments[0] + ".part", self.arguments[0])
                os.execvp("sleep", ["sleep", "3600"])
            os._exit(0)
        os.wait()
        super().run()
