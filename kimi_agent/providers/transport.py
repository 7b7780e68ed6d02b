"""One HTTP client per provider, made at its first request; a POST whose answer is read piece by piece, never for ever."""

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kimi_agent import __version__
from kimi_agent.core.errors import ConfigError, ConnectionFailed, ProviderError
from kimi_agent.core.provider import Endpoint
from kimi_agent.providers.failures import read_failure, to_error

if TYPE_CHECKING:
    import httpx

LOOPBACK = ("localhost", "127.0.0.1", "::1")
PROXY_HINT = "Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."
MAX_ERROR_BODY = 256 * 1024  # bytes
ERROR_BODY_TIMEOUT = 10.0  # seconds
DRAIN_TIMEOUT = 0.25  # seconds to wait for the end of a finished stream, so that the connection can be used again


def load_httpx() -> None:
    """Import httpx without its command line, whose imports (click, rich) cost as much as the rest: 50 ms of CPU."""
    if "httpx" in sys.modules:
        return
    sys.modules["httpx._main"] = None  # type: ignore[assignment]  # httpx has a fallback for this import
    try:
        import httpx  # noqa: F401
    finally:
        del sys.modules["httpx._main"]


def host_of(url: str) -> str:
    """Empty for an address that is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(url: str) -> bool:
    return host_of(url) in LOOPBACK


def check_address(endpoint: Endpoint) -> None:
    """Raises ConfigError for a `base_url` without a host, or with a port that cannot be."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(endpoint.base_url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return
    raise ConfigError(
        f"provider {endpoint.name!r} has no usable base_url: {endpoint.base_url!r}",
        "It looks like https://host/v1 or http://localhost:8000/v1.",
    )


def headers_for(endpoint: Endpoint) -> dict[str, str]:
    """Who asks, and the user's own headers. Nothing that tells the device apart."""
    headers = {
        "User-Agent": f"kimi-agent/{__version__}",
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
    }
    if endpoint.api_key:
        headers["Authorization"] = f"Bearer {endpoint.api_key.strip()}"
    own = {name.lower() for name in endpoint.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in own} | dict(endpoint.headers)
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable() and name.isascii() and name.isprintable()):
            where = "the API key" if name == "Authorization" else f"the header {name!r}"
            raise ConfigError(
                f"{where} of provider {endpoint.name!r} holds characters that HTTP cannot carry.",
                "Use plain ASCII: a line break or a typographic sign may have been pasted along.",
            )
    return headers


def proxy_for(url: str) -> str:
    """The proxy that the environment names for this address, empty for none: never for loopback, nor where NO_PROXY says so.

    httpx's own reading of the environment refuses `socks://` and networks in NO_PROXY, which desktops and companies set.
    """
    from urllib.request import getproxies, proxy_bypass

    if is_loopback(url):
        return ""
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]) or _in_networks(host_of(url), proxies.get("no", "")):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    return "socks5" + proxy[len("socks") :] if proxy.startswith("socks://") else proxy


def _in_networks(host: str, networks: str) -> bool:
    import ipaddress

    for network in networks.split(",") if "/" in networks else ():
        with contextlib.suppress(ValueError):  # a name
            if ipaddress.ip_address(host) in ipaddress.ip_network(network.strip(), strict=False):
                return True
    return False


def ssl_context(url: str) -> ssl.SSLContext:
    """Trusts what SSL_CERT_FILE says, or the usual certificates. Loading them costs 60 ms of CPU: for plain HTTP on loopback
    an empty context does, which trusts nothing and is never asked."""
    if is_loopback(url) and url.startswith("http://"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    import httpx

    return httpx.create_ssl_context()


class Transport:
    """`post` and `get` relative to the endpoint's `base_url`. Proxies of the environment are used, save for loopback."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._client: httpx.AsyncClient | None = None

    def client(self) -> "httpx.AsyncClient":
        """Raises ConfigError when the address, a header or a proxy of the environment cannot be used."""
        if self._client is None:
            load_httpx()
            import httpx

            endpoint = self.endpoint
            check_address(endpoint)
            timeout = httpx.Timeout(None, connect=endpoint.connect_timeout, write=endpoint.idle_timeout)
            try:
                self._client = httpx.AsyncClient(
                    headers=headers_for(endpoint),
                    timeout=timeout,
                    verify=ssl_context(endpoint.base_url),
                    trust_env=False,
                    proxy=proxy_for(endpoint.base_url) or None,
                )
            except (ValueError, ImportError, httpx.InvalidURL) as error:
                raise ConfigError(f"cannot set up HTTP for {endpoint.name!r}: {error}", PROXY_HINT) from None
        return self._client

    async def aclose(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def url(self, path: str) -> str:
        base = self.endpoint.base_url.rstrip("/").removesuffix("/chat/completions")  # the whole address was pasted
        return base + "/" + path.lstrip("/")

    @asynccontextmanager
    async def post(self, path: str, body: bytes) -> AsyncIterator[AsyncIterator[bytes]]:
        """Send `body`; yields the pieces of a 2xx answer. Raises ProviderError for any other, and when it stalls."""
        client = self.client()
        import httpx

        endpoint = self.endpoint
        try:
            request = client.build_request("POST", self.url(path), content=body)
            async with asyncio.timeout(endpoint.connect_timeout + endpoint.first_byte_timeout):
                response = await client.send(request, stream=True)
            try:
                if response.status_code // 100 != 2:
                    raise await self._failure(response)
                yield self._pieces(response)
            finally:
                await response.aclose()
        except TimeoutError:
            raise self._stalled(endpoint.first_byte_timeout, "first_byte_timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise connection_error(error, endpoint) from error

    async def _pieces(self, response: "httpx.Response") -> AsyncIterator[bytes]:
        import httpx

        pieces, limit, setting = response.aiter_bytes(), self.endpoint.first_byte_timeout, "first_byte_timeout"
        while True:
            try:
                async with asyncio.timeout(limit):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise self._stalled(limit, setting) from None
            except (httpx.HTTPError, OSError) as error:
                raise connection_error(error, self.endpoint) from error
            limit, setting = self.endpoint.idle_timeout, "idle_timeout"
            yield piece

    def _stalled(self, seconds: float, setting: str) -> ConnectionFailed:
        return ConnectionFailed(
            f"{self.endpoint.name} stalled: nothing arrived for {seconds:g} s.",
            f"A slow local model may need a larger {setting} in the config file.",
        )

    async def _failure(self, response: "httpx.Response") -> ProviderError:
        body = bytearray()
        try:
            async with asyncio.timeout(ERROR_BODY_TIMEOUT):
                async for piece in self._pieces(response):
                    body += piece
                    if len(body) > MAX_ERROR_BODY:
                        break
        except (TimeoutError, ConnectionFailed):
            pass  # the status alone has to do
        if 300 <= response.status_code < 400:
            target = response.headers.get("location", "")
            return to_error(read_failure(404, {}, f"it redirects to {target}".encode()), self.endpoint)
        return to_error(read_failure(response.status_code, dict(response.headers), bytes(body)), self.endpoint)


def _reason(error: BaseException) -> str:
    """The system's own words where there are some: the libraries' are "All connection attempts failed"."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno and cause.errno > 0 and not isinstance(cause, ssl.SSLError):
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def connection_error(error: Exception, endpoint: Endpoint) -> ConnectionFailed:
    """No answer: say which of the usual reasons it was."""
    import httpx

    text = " ".join(_reason(error).split())[:300] or type(error).__name__
    host, proxy = urlsplit(endpoint.base_url).netloc, urlsplit(proxy_for(endpoint.base_url)).netloc.rpartition("@")[2]
    if proxy and isinstance(error, httpx.ProxyError | httpx.ConnectError | httpx.ConnectTimeout):
        return ConnectionFailed(f"No connection to {host} through the proxy {proxy}: {text}", PROXY_HINT)
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectionFailed(f"{host} did not answer within {endpoint.connect_timeout:g} s.", "Check the network.")
    if isinstance(error, httpx.ConnectError):
        if "CERTIFICATE" in text.upper():
            hint = "Behind a proxy that inspects traffic, point SSL_CERT_FILE to its certificate."
            return ConnectionFailed(f"The certificate of {host} is not trusted: {text}", hint)
        hint = "Is the server running?" if is_loopback(endpoint.base_url) else "Check the network and the address."
        return ConnectionFailed(f"No connection to {host}: {text}", hint)
    return ConnectionFailed(f"The connection to {host} was lost: {text}")
