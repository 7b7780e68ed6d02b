"""One GET over the open net: to the very address that was checked, bounded in size, redirects in our own hands."""

import ssl
import urllib.request
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

from kimi_agent.core.errors import ToolError
from kimi_agent.tools.net import MAX_PAGE_BYTES, Target, parse_url, resolve

if TYPE_CHECKING:
    import httpx

_MAX_REDIRECTS = 5
_HEADERS = {
    "User-Agent": "Mozilla/5.0 (compatible; kimi-agent)",
    "Accept": "text/markdown,text/html,application/xhtml+xml,application/pdf,text/plain;q=0.9,*/*;q=0.5",
    "Accept-Encoding": "gzip, deflate",
}


@dataclass(frozen=True, slots=True)
class Page:
    """What a URL answered. `redirect` is a URL of another site that it points to, and then there is no body."""

    url: str
    content_type: str = ""
    body: bytes = b""
    truncated: bool = False
    redirect: str = ""


async def get(url: str, *, allow_private: bool) -> Page:
    """Follows redirects within one site (the same host, with or without `www.`; never from https to http).

    Raises ToolError for everything that keeps the page from being read.
    """
    import httpx

    target = parse_url(url)
    for _ in range(_MAX_REDIRECTS + 1):
        try:
            async with _response(target, allow_private) as response:
                location = response.headers.get("location", "")
                if not (response.has_redirect_location and location):
                    return await _page(target, response)
        except httpx.HTTPError as error:
            raise ToolError(f"{target.url} could not be fetched: {str(error) or type(error).__name__}") from error
        except OSError as error:
            raise ToolError(f"{target.host} was not found: {error.strerror or error}") from error
        goal = urljoin(target.url, location)
        following = parse_url(goal)
        if not _same_site(target, following):
            return Page(target.url, redirect=following.url)
        target = following
    raise ToolError(f"{url} redirects more than {_MAX_REDIRECTS} times.")


def _same_site(here: Target, there: Target) -> bool:
    same_host = here.host.lower().removeprefix("www.") == there.host.lower().removeprefix("www.")
    upgrade = (here.scheme, there.scheme) == ("http", "https")
    return same_host and (upgrade or (here.scheme == there.scheme and here.port == there.port))


async def _page(target: Target, response: "httpx.Response") -> Page:
    if response.status_code >= 400:
        raise ToolError(f"{target.url} answered {response.status_code} {response.reason_phrase}".rstrip())
    body, truncated = await read_body(response)
    return Page(target.url, response.headers.get("content-type", ""), body, truncated)


@asynccontextmanager
async def _response(target: Target, allow_private: bool) -> AsyncIterator["httpx.Response"]:
    """Connects to the checked address and to no other; the name is still in the Host header and in the TLS handshake."""
    import httpx

    proxy = proxy_for(target)
    try:
        addresses = await resolve(target, allow_private=allow_private)
    except OSError:
        if proxy is None:
            raise
        addresses = []  # behind a proxy the names outside are often known only to the proxy
    async with httpx.AsyncClient(
        verify=tls(), proxy=proxy, trust_env=False, timeout=httpx.Timeout(15), max_redirects=0
    ) as client:
        if proxy is not None:
            request = client.build_request("GET", target.url, headers=_HEADERS)
            response = await client.send(request, stream=True)
        else:
            response = await _send_pinned(client, target, addresses)
        try:
            yield response
        finally:
            await response.aclose()


async def _send_pinned(client: "httpx.AsyncClient", target: Target, addresses: list[str]) -> "httpx.Response":
    import httpx

    for index, address in enumerate(addresses):
        host = f"[{address}]" if ":" in address else address
        request = client.build_request(
            "GET",
            f"{target.scheme}://{host}:{target.port}{target.path}",
            headers=_HEADERS | {"Host": target.authority},
            extensions={"sni_hostname": target.host},
        )
        try:
            return await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            if index == len(addresses) - 1:
                raise
    raise ToolError(f"{target.host} has no address.")


def proxy_for(target: Target) -> str | None:
    """The user's proxy for the URL, from the environment (or, on macOS, the system)."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get(target.scheme) or proxies.get("all")
    if not proxy or urllib.request.proxy_bypass(target.authority):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


@cache
def tls() -> ssl.SSLContext:
    import httpx

    return httpx.create_ssl_context()


class _Decompressor(Protocol):
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


async def read_body(response: "httpx.Response") -> tuple[bytes, bool]:
    """The body, decompressed here because a small compressed one can be gigabytes; and whether it was cut."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        raise ToolError(f"The server answered in an encoding that was not asked for: {encoding}")
    body = bytearray()
    unpacker: _Decompressor | None = None
    try:
        async for chunk in response.aiter_raw():
            if encoding not in ("identity", ""):
                if unpacker is None:
                    unpacker = _unpacker(chunk)
                chunk = unpacker.decompress(chunk, MAX_PAGE_BYTES + 1 - len(body))
            body += chunk
            if len(body) > MAX_PAGE_BYTES:
                return bytes(body[:MAX_PAGE_BYTES]), True
    except zlib.error as error:
        raise ToolError(f"The page's compression is broken: {error}") from None
    return bytes(body), False


def _unpacker(first: bytes) -> _Decompressor:
    """`deflate` is zlib by the standard, but some servers send it without the zlib header."""
    automatic = 47
    try:
        zlib.decompressobj(automatic).decompress(first[:64], 1)
    except zlib.error:
        return zlib.decompressobj(-zlib.MAX_WBITS)
    return zlib.decompressobj(automatic)
