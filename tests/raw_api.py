"""A model's server byte by byte: for answers that no honest server gives. Each request takes the next answer.

An answer is a list: bytes are written as they are, numbers are seconds of silence, RESET breaks the connection off. After an
answer the connection is closed, which ends a body without a length.
"""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

Answer = Sequence[bytes | float | str]
RESET = "reset"


class RawAPI:
    def __init__(self, answers: Sequence[Answer]) -> None:
        self.connections: set[asyncio.Task[None] | None] = set()
        self.answers = list(answers)
        self.requests: list[tuple[dict[str, str], Any]] = []  # headers and body
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.add(asyncio.current_task())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            lines = [line.partition(":") for line in head.split("\r\n")[1:]]
            headers = {name.lower(): value.strip() for name, _, value in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if head.startswith("POST"):
                self.requests.append((headers, json.loads(body)))
                await self._send(self.answers.pop(0) if self.answers else [status(500)], writer)
            else:
                writer.write(status(404))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _send(self, answer: Answer, writer: asyncio.StreamWriter) -> None:
        for item in answer:
            if isinstance(item, bytes):
                writer.write(item)
                await writer.drain()
                await asyncio.sleep(0)
            elif isinstance(item, str):
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
            else:
                await asyncio.sleep(item)


@asynccontextmanager
async def raw_api(answers: Sequence[Answer]) -> AsyncIterator[RawAPI]:
    api = RawAPI(answers)
    server = await asyncio.start_server(api.handle, "127.0.0.1", 0, limit=2**26)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        server.close()
        for connection in api.connections:
            if connection is not None:
                connection.cancel()


def head(code: int = 200, kind: str = "text/event-stream", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {code} Status", f"Content-Type: {kind}", "Connection: close", *more, "", ""]
    return "\r\n".join(lines).encode()


def status(code: int, *more: str, error: Any = None) -> bytes:
    body = json.dumps({"error": error or {"message": f"scripted {code}"}}).encode()
    return head(code, "application/json", f"Content-Length: {len(body)}", *more) + body


def event(delta: Any = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    value = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def text(words: str) -> list[bytes]:
    return [head(), event({"role": "assistant", "content": words}), event(finish="stop"), DONE]


def tool_call(name: str, arguments: Any, call_id: str = "c:0", index: int = 0) -> bytes:
    given = arguments if isinstance(arguments, str) else json.dumps(arguments)
    call = {"index": index, "id": call_id, "type": "function", "function": {"name": name, "arguments": given}}
    return event({"tool_calls": [call]})


def calls(*pieces: bytes) -> list[bytes]:
    return [head(), *pieces, event(finish="tool_calls"), DONE]
