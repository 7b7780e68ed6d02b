"""Which addresses of the net may be reached: the public ones. What is inside (this machine, its network, the cloud's
metadata services) is not a web page's or a model's to ask for.
"""

import asyncio
import socket
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from kimi_agent.core.address import is_public
from kimi_agent.core.errors import ToolError

MAX_PAGE_BYTES = 5_000_000
"""Bytes of a page, unpacked, that are read."""


class Target(Struct, frozen=True):
    """A URL taken apart. `host` has no brackets, `url` no fragment and nothing that a second parser could read otherwise."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's own, port: the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def parse_url(url: str) -> Target:
    """Raises ToolError for what is not a plain http(s) URL."""
    if any(ord(char) <= 32 or ord(char) == 127 or char == "\\" for char in url):
        raise ToolError("The URL holds a space, a control character or a backslash: percent-encode it.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ToolError(f"Invalid URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ToolError("Only http:// and https:// URLs can be fetched.")
    if "@" in parts.netloc:
        raise ToolError("A URL with a user name or a password is not fetched.")
    host = (parts.hostname or "").rstrip(".")
    if not host or not host.isascii() or set(host) & set("%<>^`{|}"):
        raise ToolError(
            "The URL's host is missing or not plain ASCII (write international names in punycode, xn--...)."
        )
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), _path(parts))


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


async def resolve(target: Target, *, allow_private: bool) -> list[str]:
    """The addresses of the host, all of them checked. Raises ToolError when one is not public; OSError when there is none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is empty or too long
        raise ToolError(f"{target.host} is not a valid host name.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise ToolError(
                    f"{target.host} is at {address}, inside this machine's network: not fetched. Use Shell with curl "
                    "if the user wants it."
                )
    return addresses
