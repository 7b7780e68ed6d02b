"""A real HTTP server on loopback that speaks OpenAI's chat completions from a scenario. For tests of anything that talks
to a model: in the same process, or in a child that is given `api.url`.

    async with FakeAPI([[{"text": "Hello"}], [{"call": {"name": "Shell", "arguments": {"command": "ls"}}}]]) as api:
        Endpoint("fake", "kimi", api.url, "sk-test")
        assert api.requests[0].json["messages"][-1]["content"] == "Hi"

Replies are the steps of `kimi_agent.providers.scripted`, one per POST to /chat/completions, and two items more:
`{"sse": {...}}` sends that very object as a chunk, `{"raw": "text"}` writes that very text into the stream. Instead of a
list, `replies` may be a function from the request's JSON to the items. `with` works as well as `async with`: the server
runs in a thread of its own. `strict=True` refuses what Moonshot refuses (see moonshot_rules.py).
"""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from moonshot_rules import objection

from kimi_agent.providers.scripted import Item, Scenario, Step, pieces

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


class Dropped(Exception):
    """The scenario wants the connection closed here."""


@dataclass(frozen=True)
class Recorded:
    """One request that arrived. Header names are in lower case, `head` is as it came; `json` is None when the body is none."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    json: Any
    head: bytes = b""


class FakeAPI:
    """`url` ends in /v1. `requests` are the chat completions asked for, `all_requests` everything.

    `streaming=False` answers with one JSON object though a stream was asked for; `write_size` cuts what is sent into
    writes of so many bytes; `newline` ends the lines of the stream; `models` is what GET /models lists (objects);
    `routes` maps a path such as "/api/show" to the JSON that it answers; `event_streams` a path such as "/v1/messages" to
    one list of events per request (other APIs than chat completions; an event is named by its `type`); `failures` a path
    to the error that every request there gets.
    """

    def __init__(
        self,
        replies: Sequence[Any] | Callable[[Any], Step] = (),
        *,
        strict: bool = False,
        streaming: bool = True,
        write_size: int | None = None,
        newline: str = "\n",
        reasoning_field: str = "reasoning_content",
        models: Sequence[dict[str, Any]] = ({"id": "fake-model", "object": "model"},),
        routes: dict[str, Any] | None = None,
        event_streams: dict[str, list[list[dict[str, Any]]]] | None = None,
        failures: dict[str, dict[str, Any]] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self._script = None if callable(replies) else Scenario(list(replies), frozenset(["sse", "raw"]))
        self._function = replies if callable(replies) else None
        self._strict, self._streaming, self._write_size, self._newline = strict, streaming, write_size, newline
        self._reasoning_field, self._models, self._routes, self._host = reasoning_field, models, routes or {}, host
        self._event_streams, self._failures = event_streams or {}, failures or {}
        self.all_requests: list[Recorded] = []
        self.connections = 0
        self.port = 0
        self._calls = 0
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fake-api", daemon=True)

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}/v1"

    @property
    def requests(self) -> list[Recorded]:
        return [request for request in self.all_requests if request.path.endswith("/chat/completions")]

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fake API did not start")
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.__exit__)

    # --- server -------------------------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        handlers: set[asyncio.Task[None]] = set()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            handlers.add(task)
            try:
                await self._connection(reader, writer)
            except (Dropped, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                handlers.discard(task)
                writer.transport.abort()

        server = await asyncio.start_server(handle, self._host, 0, limit=2**26)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(handlers):
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while (request := await self._read(reader)) is not None:
            self.all_requests.append(request)
            await self._answer(request, writer)

    async def _read(self, reader: asyncio.StreamReader) -> Recorded | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        return Recorded(method, path, headers, body, value, head.encode("latin-1"))

    async def _answer(self, request: Recorded, writer: asyncio.StreamWriter) -> None:
        path = request.path.partition("?")[0]
        if path in self._routes:
            await self._json(writer, 200, self._routes[path])
        elif path in self._failures:
            await self._error(writer, self._failures[path]["status"], self._failures[path])
        elif path in self._event_streams:
            await self._named_events(self._event_streams[path], writer)
        elif path == "/v1/models":
            await self._json(writer, 200, {"object": "list", "data": list(self._models)})
        elif path != "/v1/chat/completions" or request.method != "POST":
            await self._error(writer, 404, {"message": f"no route {request.method} {path}"})
        elif not isinstance(request.json, dict):
            await self._error(writer, 400, {"message": "the body is not a JSON object"})
        elif self._strict and (refusal := objection(request.headers, request.json)):
            status = 401 if "Authentication" in refusal else 400
            await self._error(writer, status, {"message": refusal, "type": "invalid_request_error"})
        else:
            await self._reply(request, writer)

    async def _reply(self, request: Recorded, writer: asyncio.StreamWriter) -> None:
        step = self._function(request.json) if self._function else self._script.take() if self._script else None
        if step is None:
            await self._error(writer, 400, {"message": f"the scenario is over after {len(self.requests) - 1} requests"})
            return
        for item in step:
            if "expect" in item and item["expect"] not in last_text(request.json):
                told = f"the scenario expected {item['expect']!r} in {last_text(request.json)[:500]!r}"
                await self._error(writer, 400, {"message": told})
                return
        step = [item for item in step if "expect" not in item]
        if step and "error" in step[0]:
            await self._error(writer, step[0]["error"].get("status", 500), step[0]["error"])
        elif self._streaming and request.json.get("stream"):
            await self._stream(step, writer)
        else:
            await self._json(writer, 200, self._whole(step))

    # --- a stream -----------------------------------------------------------------------------------------------------

    async def _stream(self, step: Step, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        calls, reason = 0, ""
        for item in step:
            if "delay" in item:
                await asyncio.sleep(item["delay"])
            elif "stall" in item:
                await writer.drain()
                await asyncio.sleep(item["stall"])
                raise Dropped
            elif "drop" in item:
                await writer.drain()
                raise Dropped
            elif "end" in item:
                await self._write(writer, b"")
                return
            elif "finish" in item:
                reason = item["finish"]
            else:
                for chunk in self._chunks(item, calls):
                    await self._write(writer, chunk)
                calls += "call" in item
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason or ("tool_calls" if calls else "stop")}]}
        await self._write(writer, self._event(last))
        for item in step:
            if "tokens" in item:
                await self._write(writer, self._event({"choices": [], "usage": usage(item)}))
        await self._write(writer, f"data: [DONE]{self._newline * 2}".encode())
        await self._write(writer, b"")

    async def _named_events(self, streams: list[list[dict[str, Any]]], writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for event in streams.pop(0) if streams else []:
            await self._write(writer, f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        await self._write(writer, b"")

    def _chunks(self, item: Item, index: int) -> list[bytes]:
        if "raw" in item:
            return [item["raw"].encode("utf-8", "surrogateescape")]
        if "garbage" in item:
            return [f"data: {item['garbage']}{self._newline * 2}".encode()]
        if "sse" in item:
            return [self._event(item["sse"])]
        if "error" in item:
            return [self._event({"error": {k: v for k, v in item["error"].items() if k != "status"}})]
        return [self._event({"choices": [{"index": 0, "delta": delta}]}) for delta in self._deltas(item, index)]

    def _deltas(self, item: Item, index: int) -> list[dict[str, Any]]:
        size = item.get("chunk")
        if "text" in item:
            return [{"content": piece} for piece in pieces(item["text"], size)]
        if "think" in item:
            return [{self._reasoning_field: piece, "content": None} for piece in pieces(item["think"], size)]
        if "call" in item:
            call, arguments = self._call(item)
            first = {
                "index": index,
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": ""},
            }
            rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces(arguments, size)]
            return [{"tool_calls": [piece]} for piece in [first, *rest]]
        return []

    def _call(self, item: Item) -> tuple[dict[str, str], str]:
        call, arguments = item["call"], item["call"].get("arguments", {})
        self._calls += 1
        call_id = call.get("id", f"{call['name']}:{self._calls - 1}")
        return {"id": call_id, "name": call["name"]}, arguments if isinstance(arguments, str) else json.dumps(arguments)

    def _event(self, value: dict[str, Any]) -> bytes:
        envelope = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 0, "model": "fake-model"}
        text = json.dumps(value if "error" in value else {**envelope, **value}, ensure_ascii=False)
        return f"data: {text}{self._newline * 2}".encode()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self._write_size or max(1, len(data))
        for start in range(0, max(1, len(data)), size):
            part = data[start : start + size]
            writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            await writer.drain()
            if self._write_size:
                await asyncio.sleep(0)

    # --- one object ---------------------------------------------------------------------------------------------------

    def _whole(self, step: Step) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": "".join(i["text"] for i in step if "text" in i) or None,
        }
        if thoughts := "".join(i["think"] for i in step if "think" in i):
            message[self._reasoning_field] = thoughts
        for call, arguments in (self._call(item) for item in step if "call" in item):
            function = {"name": call["name"], "arguments": arguments}
            message.setdefault("tool_calls", []).append({"id": call["id"], "type": "function", "function": function})
        reason = next((i["finish"] for i in step if "finish" in i), "tool_calls" if "tool_calls" in message else "stop")
        value = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 0, "model": "fake-model"}
        counted = next((usage(item) for item in step if "tokens" in item), None)
        return {**value, "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": counted}

    async def _error(self, writer: asyncio.StreamWriter, status: int, error: dict[str, Any]) -> None:
        headers = {"Retry-After": str(error["retry_after"])} if "retry_after" in error else {}
        value = {key: item for key, item in error.items() if key not in ("status", "retry_after")}
        await self._json(writer, status, {"error": value}, headers)

    async def _json(
        self, writer: asyncio.StreamWriter, status: int, value: Any, headers: dict[str, str] | None = None
    ) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", "Content-Type: application/json"]
        lines += [f"{name}: {text}" for name, text in {"X-Trace-Id": "trace-1", **(headers or {})}.items()]
        writer.write("\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        await writer.drain()


def usage(item: Item) -> dict[str, Any]:
    tokens = item["tokens"]
    total = tokens["input"] + tokens["output"]
    value = {"prompt_tokens": tokens["input"], "completion_tokens": tokens["output"], "total_tokens": total}
    return {**value, "cached_tokens": tokens.get("cached", 0)}


def last_text(request: Any) -> str:
    """The text of the last message of a request."""
    content = request["messages"][-1].get("content") if request.get("messages") else ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
