"""Which addresses a sign-in may lead to. A server names them, so they are a stranger's: see docs/guides/mcp.md."""

import ipaddress
import socket
from urllib.parse import urlsplit

from kimi_agent.core.address import is_public
from kimi_agent.core.errors import KimiError

_INSIDE = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".home")
_PATIENCE = 5.0


def is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str) -> bool:
    """https, or plain http that stays on this machine; without a name and password in it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


async def check(url: str, server: str, what: str) -> None:
    """Raises KimiError where `url`, which the server at the address `server` leads to for `what`, is not to be asked.

    A public server must not have us ask machines inside of this network. Names are looked up for that where a proxy does not;
    what a name leads to may change until it is asked, which https then notices.
    """
    host = (urlsplit(url).hostname or "").rstrip(".") if is_safe(url) else ""
    if not host:
        raise KimiError(f"{what} at {url!r:.200} is refused: it is neither https nor on this machine")
    if await _is_inside(host) and not await _is_inside((urlsplit(server).hostname or "").rstrip(".")):
        raise KimiError(f"{what} at {url!r:.200} is refused: a public server leads to a machine inside of this network")


async def _is_inside(host: str) -> bool:
    if is_loopback(host) or host.endswith(_INSIDE):
        return True
    try:
        return not is_public(host)
    except ValueError:
        pass
    if "." not in host:
        return True
    return any(not is_public(address) for address in await _addresses(host))


async def _addresses(host: str) -> list[str]:
    import asyncio
    from urllib.request import getproxies

    if getproxies().get("https"):
        return []
    loop = asyncio.get_running_loop()
    try:
        found = await asyncio.wait_for(loop.getaddrinfo(host, 443, type=socket.SOCK_STREAM), _PATIENCE)
    except (OSError, UnicodeError, TimeoutError):  # then it cannot be asked either
        return []
    return [str(entry[4][0]) for entry in found]
