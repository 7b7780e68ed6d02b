"""Requests, responses and errors as the server's parts see them, and the limits that hold for all of them."""

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, counts and seconds that no client can go beyond."""

    header_bytes: int = 16 << 10
    header_fields: int = 100
    header_seconds: float = 10.0
    """From the first byte of a request (of a new connection: from its beginning) to the end of its header."""
    idle_seconds: float = 60.0
    """How long a connection waits for its next request."""
    body_bytes: int = 32 << 20
    body_grace_seconds: float = 10.0
    body_rate: int = 64 << 10
    """Bytes per second that a body must keep up with once the grace is over."""
    write_seconds: float = 30.0
    """How long a client may let an answer lie unread."""
    connections: int = 64
    connections_per_host: int = 8
    """Of one address that is not loopback."""
    answers: int = 48
    """Requests that are answered or wait for it; one more is told to come back (429)."""


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    authorised: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is whole, or a stream of parts that each go out at once; it may raise HttpError before the first of them."""

    status: int = 200
    body: bytes | AsyncGenerator[bytes] = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """What one path does. `open`: without a token too."""

    method: str
    handler: Handler
    open: bool = False


_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class HttpError(Exception):
    """An answer that is not the one asked for, in OpenAI's shape. Messages name fields, never what a client wrote into them."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, dict(headers or {})

    def shape(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def response(self) -> Response:
        return json_response(self.shape(), self.status, self.headers)


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, dump(value), headers=headers or {})


def dump(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
