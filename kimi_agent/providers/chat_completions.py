"""The chat completions API, straight on httpx: Kimi, and every server that speaks OpenAI's protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from kimi_agent.core.errors import BadRequestError, ConnectionFailed
from kimi_agent.core.provider import Delta, Endpoint, Model, Request
from kimi_agent.providers.chat_reply import CallIds, Reply
from kimi_agent.providers.chat_request import RequestEncoder
from kimi_agent.providers.dialect import dialect_of
from kimi_agent.providers.sse import MAX_EVENT, SSEReader
from kimi_agent.providers.transport import DRAIN_TIMEOUT, Transport

AFTER_FINISH = 5.0  # seconds to wait for the token counts once the server gave a finish reason


class ChatCompletions:
    """Provider for one model. Raises ProviderError as core/provider.py says, ConfigError for an unusable endpoint."""

    def __init__(self, endpoint: Endpoint, model: Model) -> None:
        self.model = model
        self.endpoint = endpoint
        self._transport = Transport(endpoint)
        self._encoder = RequestEncoder(endpoint, model)
        self._kimi_ids = dialect_of(endpoint, model).keep_ids

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        body = self._encoder.encode(request)
        reply = Reply(self.endpoint, CallIds(self._encoder.call_ids, self._kimi_ids))
        async with self._transport.post("chat/completions", body) as pieces:
            done = False
            async for event in self._events(pieces, reply):
                if event.strip() == b"[DONE]":
                    done = True
                    break
                for delta in reply.feed(self._decode(event)):
                    yield delta
            for delta in reply.finish(done):
                yield delta
            await _drain(pieces)

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _events(self, pieces: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[bytes]:
        """The data of each event; a server that answers with one JSON object instead of a stream has one."""
        reader = SSEReader()
        whole: bytearray | None = None
        first = True
        async for piece in _until_quiet(pieces, reply):
            if first and piece.strip():
                first = False
                if piece.lstrip().startswith(b"<"):
                    raise BadRequestError(
                        f"{self.endpoint.name} answered with a web page.",
                        f"Check the address {self.endpoint.base_url}.",
                    )
                whole = bytearray() if piece.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") else None
            if whole is None:
                for event in reader.feed(piece):
                    yield event
                continue
            whole += piece
            if len(whole) > MAX_EVENT:
                raise ConnectionFailed("The server sent a reply of more than 32 MiB.")
        if whole is not None:
            yield bytes(whole)
        elif (rest := reader.close()) is not None and _parses(rest):
            yield rest

    def _decode(self, event: bytes) -> Any:
        """Raises ConnectionFailed for a chunk that is no JSON: a part of the reply is lost, so none of it can be used."""
        text = event.strip()
        if not text.startswith(b"{"):
            if text.startswith(b"["):
                return None
            return (
                {"error": {"message": text.decode("utf-8", "replace")}} if text.lower().startswith(b"error") else None
            )
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeError):
            pass
        try:  # raw control characters, NUL bytes, broken UTF-8
            return json.loads(text.replace(b"\x00", b"").decode("utf-8", "replace"), strict=False)
        except (ValueError, RecursionError):
            near = text[:120].decode("utf-8", "replace")
            raise ConnectionFailed(f"{self.endpoint.name} sent something that is not JSON: {near!r}") from None


async def _until_quiet(pieces: AsyncIterator[bytes], reply: Reply) -> AsyncIterator[bytes]:
    """The pieces, but a connection that hangs or breaks after the finish reason costs nothing: the reply is whole."""
    while True:
        try:
            async with asyncio.timeout(AFTER_FINISH if reply.reason else None):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except (TimeoutError, ConnectionFailed):
            if reply.reason:
                return
            raise
        yield piece


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read the end of a finished stream, so that its connection serves the next step too."""
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT):
            async for _ in pieces:
                pass
    except (TimeoutError, ConnectionFailed):
        pass  # the reply is whole: whatever happens to the connection now is harmless


def _parses(data: bytes) -> bool:
    if data.strip() == b"[DONE]":
        return True
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return False
    return True
