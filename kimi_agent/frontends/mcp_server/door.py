"""The door of the HTTP server: who does not know the token, or was led here by a web page, is told so and no more."""

import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

NAMES = ("127.0.0.1", "localhost")


class Door:
    """`app` behind a check of every request: a Host that is us (a name that was rebound to us is not), no Origin but ours,
    and `Authorization: Bearer TOKEN`. No answer has CORS headers: no other page can read one."""

    def __init__(self, app: "ASGIApp", token: str, port: int) -> None:
        self._app, self._word = app, f"Bearer {token}".encode()
        self._hosts = {f"{name}:{port}".encode() for name in NAMES} | {n.encode() for n in NAMES if port == 80}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and (refusal := self._refusal(scope["headers"])):
            await _refuse(send, *refusal)
        elif scope["type"] == "http":
            await self._app(scope, receive, send)

    def _refusal(self, headers: list[tuple[bytes, bytes]]) -> tuple[int, str] | None:
        if not _all_in(headers, b"host", self._hosts, needed=True):
            return 421, "this server is 127.0.0.1"
        if not _all_in(headers, b"origin", self._origins, needed=False):
            return 403, "not for web pages"
        words = _values(headers, b"authorization")
        if len(words) != 1 or not hmac.compare_digest(words[0], self._word):
            return 401, "the token is missing or wrong: kimi mcp serve has printed it when it started"
        return None


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def _all_in(headers: list[tuple[bytes, bytes]], name: bytes, known: set[bytes], *, needed: bool) -> bool:
    values = _values(headers, name)
    return set(values) <= known and (bool(values) or not needed)


async def _refuse(send: "Send", status: int, text: str) -> None:
    body = text.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
