"""Servers that use what else the protocol has: questions to the client, logs, every kind of content, resources, prompts."""

import base64
import json
import os
import socket

from mini import ECHO, RpcError, Server, text, tool

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Asks(Server):
    """Its tools ask the client, and answer what they got as text: roots, sample, form, url, url_error (-32042), unknown."""

    FORM = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Your name", "minLength": 1},
            "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
            "count": {"type": "integer", "minimum": 1, "maximum": 9},
            "sure": {"type": "boolean", "default": False},
        },
        "required": ["name"],
    }
    URL = {
        "mode": "url",
        "message": "Sign in, please.",
        "url": "https://example.com/sign-in?a=1",
        "elicitationId": "e1",
    }
    QUESTIONS = {
        "roots": ("roots/list", {}),
        "sample": (
            "sampling/createMessage",
            {"messages": [{"role": "user", "content": {"type": "text", "text": "Say hi."}}], "maxTokens": 50},
        ),
        "form": ("elicitation/create", {"mode": "form", "message": "Who are you?", "requestedSchema": FORM}),
        "url": ("elicitation/create", URL),
        "unknown": ("unheard/of", {}),
    }

    def tools(self):
        return [ECHO, tool("url_error"), tool("client"), *(tool(name) for name in self.QUESTIONS)]

    def call(self, name, arguments, request):
        if name == "client":
            return text(repr(self.client))
        if name == "url_error":
            raise RpcError(-32042, "Sign in first", {"elicitations": [self.URL]})
        if name not in self.QUESTIONS:
            return super().call(name, arguments, request)
        return text(repr(self.ask(*self.QUESTIONS[name])))


class Probes(Server):
    """Tries what it may do, and answers that or the error: env, read and write a path, connect to a port, a socket file."""

    def tools(self):
        word = {"what": {"type": "string"}}
        return [ECHO, tool("env"), *(tool(name, "", word) for name in ("read", "write", "connect", "unix"))]

    def call(self, name, arguments, request):
        what = arguments.get("what", "")
        try:
            if name == "env":
                return text(json.dumps(dict(os.environ)))
            if name == "read":
                with open(what) as file:
                    return text(file.read())
            if name == "write":
                with open(what, "w") as file:
                    file.write("written")
            elif name == "connect":
                socket.create_connection(("127.0.0.1", int(what)), 5).close()
            elif name == "unix":
                socket.socket(socket.AF_UNIX).connect(what)
            else:
                return super().call(name, arguments, request)
        except OSError as error:
            return text(f"{type(error).__name__}: {error.strerror}")
        return text("done")


class Logging(Server):
    """Sends log messages of every level, from its start and in `talk`; some with escape sequences and a secret."""

    capabilities = {"tools": {}, "logging": {}}
    LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

    def tools(self):
        return [ECHO, tool("talk")]

    def other(self, method, params):
        if method == "logging/setLevel":
            self.note(f"level {params.get('level')}")
            return {}
        return super().other(method, params)

    def call(self, name, arguments, request):
        if name != "talk":
            return super().call(name, arguments, request)
        for level in self.LEVELS:
            self.notify("notifications/message", {"level": level, "logger": "fake", "data": f"\x1b[2J{level} speaks"})
        self.notify("notifications/message", {"level": "info", "data": {"api_key": "sk-abcdefghijklmnopqrstuvwx"}})
        return text("said")


class Rich(Server):
    """Tools for every kind of content: structured, picture, sound, link, embedded, blob, both, nothing, escapes."""

    SOUND = base64.b64encode(b"RIFF\x24\x00\x00\x00WAVEfmt ").decode()
    RESULTS = {
        "structured": {"content": [], "structuredContent": {"temperature": 21.5, "where": "Oslo"}},
        "both": {**text('{"n": 1}'), "structuredContent": {"n": 1}},
        "picture": {"content": [{"type": "image", "data": PIXEL, "mimeType": "image/png"}]},
        "broken_picture": {"content": [{"type": "image", "data": "!!!", "mimeType": "image/png"}]},
        "sound": {"content": [{"type": "audio", "data": SOUND, "mimeType": "audio/wav"}]},
        "link": {"content": [{"type": "resource_link", "uri": "http://127.0.0.1:9/never", "name": "never fetched"}]},
        "embedded": {
            "content": [
                {"type": "resource", "resource": {"uri": "memo://1", "mimeType": "text/plain", "text": "a memo"}}
            ]
        },
        "blob": {
            "content": [
                {"type": "resource", "resource": {"uri": "blob://1", "mimeType": "application/x", "blob": "AAEC"}}
            ]
        },
        "nothing": {"content": []},
        "escapes": text("\x1b[31mred\x1b[0m \x1b]52;c;eA==\x07 \u202eevil\u202c \U000e0041\u200b"),
    }

    def tools(self):
        return [ECHO, *(tool(name) for name in self.RESULTS)]

    def call(self, name, arguments, request):
        return self.RESULTS.get(name) or super().call(name, arguments, request)


class Features(Server):
    """Resources with a template and subscriptions, prompts with arguments, completion. `touch` tells of an update."""

    capabilities = {
        "tools": {},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {"listChanged": True},
        "completions": {},
    }
    RESOURCES = [
        {"uri": "memo://shopping", "name": "shopping", "mimeType": "text/plain", "description": "What to buy"},
        {"uri": "blob://logo", "name": "logo", "mimeType": "image/png"},
    ]
    PROMPT = {
        "name": "review",
        "description": "Review a file.",
        "arguments": [{"name": "file", "required": True}, {"name": "tone", "description": "kind or strict"}],
    }

    def tools(self):
        return [ECHO, tool("touch")]

    def call(self, name, arguments, request):
        if name != "touch":
            return super().call(name, arguments, request)
        self.notify("notifications/resources/updated", {"uri": "memo://shopping"})
        return text("touched")

    def other(self, method, params):
        if method == "resources/list":
            return {"resources": self.RESOURCES}
        if method == "resources/templates/list":
            return {"resourceTemplates": [{"uriTemplate": "note://{name}", "name": "note", "mimeType": "text/plain"}]}
        if method == "resources/read":
            return {"contents": [self._read(params["uri"])]}
        if method in ("resources/subscribe", "resources/unsubscribe"):
            return {}
        if method == "prompts/list":
            return {"prompts": [self.PROMPT, {"name": "greet"}]}
        if method == "prompts/get":
            return self._prompt(params)
        if method == "completion/complete":
            begun = params["argument"]["value"]
            values = [word for word in ("kind", "strict", "a.py", "b.py") if word.startswith(begun)]
            return {"completion": {"values": values, "total": len(values), "hasMore": False}}
        return super().other(method, params)

    def _read(self, uri):
        if uri == "memo://shopping":
            return {"uri": uri, "mimeType": "text/plain", "text": "milk and bread"}
        if uri == "blob://logo":
            return {"uri": uri, "mimeType": "image/png", "blob": PIXEL}
        if uri.startswith("note://"):
            return {"uri": uri, "mimeType": "text/plain", "text": f"the note {uri.removeprefix('note://')}"}
        raise RpcError(-32002, f"Resource not found: {uri}")

    def _prompt(self, params):
        arguments = params.get("arguments") or {}
        if params["name"] == "review" and "file" not in arguments:
            raise RpcError(-32602, "`file` is missing")
        words = (
            f"Review {arguments.get('file')} in a {arguments.get('tone', 'kind')} tone." if arguments else "Say hello."
        )
        return {"messages": [{"role": "user", "content": {"type": "text", "text": words}}]}
