"""Who may ask: the form of a request's header, the host it names, where it comes from, and its token.

A page in a browser can send requests to loopback: it is told from a program by its Origin and by the host name that it used (DNS
rebinding), before anything else is looked at, and no answer ever allows another origin.
"""

import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

import h11

from inference_backend.server.message import HttpError, Limits, Request, Route

_SINGLE = ("host", "authorization", "origin", "content-type", "content-length", "transfer-encoding", "sec-fetch-site")
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def check_head(head: bytes, limits: Limits) -> None:
    """The header block as it came, line ends included: nothing that two parsers could read in two ways. Raises HttpError."""
    lines = head[:-4].split(b"\r\n")
    if len(lines) - 1 > limits.header_fields:
        raise HttpError(431, f"more than {limits.header_fields} header fields")
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line or line[:1] in (b" ", b"\t"):
            raise HttpError(400, "the header has a folded line, or a line that does not end with CR LF")
    names = [line.partition(b":")[0].strip().lower() for line in lines[1:]]
    for name in _SINGLE:
        if names.count(name.encode()) > 1:
            raise HttpError(400, f"the header has more than one {name}")
    if b"content-length" in names and b"transfer-encoding" in names:
        raise HttpError(400, "the header has both content-length and transfer-encoding")


def to_request(event: h11.Request) -> Request:
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in event.headers}
    return Request(event.method.decode("ascii"), event.target.decode("latin-1"), headers)


class Guard:
    """`hosts` are the names by which the server may be called, each with its port (any port where none is given)."""

    def __init__(self, token: str, hosts: Iterable[str], port: int | None) -> None:
        self._token = token.encode()
        self._hosts = {name.lower() for name in hosts}
        self._port = port

    def admit(self, request: Request, routes: Mapping[str, Route]) -> tuple[Route, bool]:
        """The route that the request may take, and whether it has the token. Raises HttpError; the body is not read yet."""
        if not request.path.startswith("/") or not self._is_us(request.headers.get("host", "")):
            raise HttpError(421, "this server does not answer for that host", code="wrong_host")
        if "origin" in request.headers or request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise HttpError(403, "pages of a browser may not ask this server", code="wrong_origin")
        authorised = self._has_token(request.headers.get("authorization", ""))
        path = request.path.partition("?")[0]
        route = routes.get(path) or routes.get(unquote(path))  # names of models have slashes and blanks
        if not authorised and not (route and route.open):
            raise HttpError(
                401, "a token is needed: Authorization: Bearer TOKEN; the server said at its start where it lies",
                code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        if route is None:
            raise HttpError(404, "there is nothing at this path", code="not_found")
        if request.method != route.method:
            raise HttpError(405, f"this path takes {route.method}", headers={"Allow": route.method})
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method == "POST" and kind != "application/json":
            raise HttpError(415, "the content type must be application/json")
        return route, authorised

    def _is_us(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):  # no port: [::1] has colons of its own
            name, port = host, "80"
        return name.lower() in self._hosts and self._port in (
            None,
            int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1,
        )

    def _has_token(self, field: str) -> bool:
        scheme, _, token = field.partition(" ")
        return (
            hmac.compare_digest(token.strip().encode("latin-1", "replace"), self._token) and scheme.lower() == "bearer"
        )
