"""The HTTP client below a server's transport. It imports httpx2, so it is imported where a connection begins."""

import logging
import zlib
from collections.abc import AsyncIterator, Mapping
from functools import partial

import httpx2

from kimi_agent import __version__
from kimi_agent.mcp.http import PATIENCE, Heard

AGENT = f"kimi-agent/{__version__}"
SMALL = 1024 * 1024
GOODBYE = 2.0
"""Seconds for the request that ends a session: nobody waits for a server that is gone."""
ENCODINGS = "gzip, deflate"
"""What answers may be packed with: unpacked here, where the bytes can be counted before there are too many."""
_PIECE = 1 << 20  # bytes that are unpacked at once

logging.getLogger("mcp").addHandler(logging.NullHandler())  # what nobody listens to is not written onto the screen


class TooLarge(httpx2.StreamError):
    """An answer with more bytes than are taken. The SDK makes the call fail with these words."""


class Bounded(httpx2.AsyncByteStream):
    """A body of at most `limit` bytes; where it is `packed`, as many as that when it is unpacked."""

    def __init__(self, inner: httpx2.AsyncByteStream, limit: int, *, packed: bool = False) -> None:
        self._inner, self._limit, self._packed = inner, limit, packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in _unpacked(self._inner) if self._packed else self._inner:
            count += len(chunk)
            if count > self._limit:
                raise TooLarge(f"the server's answer is larger than {self._limit} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _unpacked(stream: httpx2.AsyncByteStream) -> AsyncIterator[bytes]:
    """In pieces: a few bytes may stand for a thousand times as many."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # gzip, or deflate with its head
    try:
        async for chunk in stream:
            while chunk:
                yield unpacker.decompress(chunk, _PIECE)
                chunk = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise httpx2.DecodingError(f"the server's answer cannot be unpacked: {error}") from error


def client(
    heard: Heard, headers: Mapping[str, str], auth: httpx2.Auth | None, timeout: httpx2.Timeout, largest: int
) -> httpx2.AsyncClient:
    """A client for one server: its `headers` go nowhere else, since the SDK follows no redirect to another origin, and
    requests of an `auth` are not merged with them."""
    own = {
        "user-agent": AGENT,
        "accept-encoding": ENCODINGS,
        **{name.lower(): value for name, value in headers.items()},
    }
    return httpx2.AsyncClient(
        headers=own,
        auth=auth,
        timeout=timeout,
        event_hooks={"request": [_patient], "response": [partial(_noted, heard), partial(_bounded, largest)]},
    )


def limited() -> httpx2.AsyncClient:
    """A client for a request of a sign-in: a small answer, no redirects."""
    return httpx2.AsyncClient(event_hooks={"response": [partial(_bounded, SMALL)]})


async def _patient(request: httpx2.Request) -> None:
    """A stream of news may be quiet for hours; the end of a session is waited for only shortly. What an `auth` asks in between
    comes without any limit."""
    times = request.extensions.setdefault("timeout", dict.fromkeys(("connect", "read", "write", "pool"), PATIENCE))
    listens = "text/event-stream" in request.headers.get("accept", "") and request.method == "GET"
    if listens or request.headers.get("mcp-method") == "subscriptions/listen":
        request.extensions["timeout"] = {**times, "read": None}
    elif request.method == "DELETE":
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), GOODBYE)


async def _noted(heard: Heard, response: httpx2.Response) -> None:
    """405 is a server without a stream of news, or without an end of sessions: no refusal. What an `auth` asks in between
    does not have the client's own headers. Of a sign-in that is wanted, a renewed token makes an end, and no 400: that is what a
    server of the new era says when the SDK then tries the old handshake."""
    status, sent = response.status_code, response.request.headers
    if "user-agent" not in sent or status == 405:
        return
    if status < 300 and heard.status == 401 and "authorization" in sent:
        heard.forget()
    if status < 400 or (status == 400 and heard.needs_auth):
        return
    heard.status = status
    heard.www_authenticate = ", ".join(response.headers.get_list("www-authenticate"))
    heard.url = str(response.request.url.copy_with(userinfo=b"", query=None, fragment=None))
    heard.retry_after = response.headers.get("retry-after", "")
    heard.in_session = "mcp-session-id" in sent


async def _bounded(largest: int, response: httpx2.Response) -> None:
    """An event stream is endless, and each of its events is bounded by the SDK."""
    if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
        return
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    packed = encoding in ENCODINGS.split(", ")
    if packed:
        del response.headers["content-encoding"]
    if isinstance(response.stream, httpx2.AsyncByteStream):
        bounded = largest if packed or encoding == "identity" else 0  # 0: nobody asked for that encoding
        response.stream = Bounded(response.stream, bounded, packed=packed)
