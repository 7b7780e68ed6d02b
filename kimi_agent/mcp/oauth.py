"""What a session knows of sign-ins: whether there is one, and how requests are signed with it. Nothing here opens a browser."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.oauth_hosts import is_safe
from kimi_agent.mcp.oauth_store import SignIn

if TYPE_CHECKING:
    import httpx2


def has_tokens(server: Server, home: Path) -> bool:
    """Whether somebody has signed in to `server`; False for a file that says nothing to rely on."""
    if server.transport == "stdio":
        return False
    try:
        return bool(SignIn(server, home).read().get("tokens"))
    except (ConfigError, OSError, ValueError):
        return False


def stamp(server: Server, home: Path) -> tuple[int, int, int]:
    """Differs once somebody has signed in to an expanded `server`, or out: a refused connection may then be tried anew."""
    return SignIn(server, home).stamp() if server.transport != "stdio" else (0, 0, 0)


def wanted_scopes(server: Server, home: Path) -> str:
    """Scopes that the server has asked for since the sign-in, "" for none: the next sign-in asks for them."""
    try:
        return str(SignIn(server, home).read().get("wanted", ""))
    except (ConfigError, OSError, ValueError):
        return ""


def stored_auth(server: Server, home: Path, env: Mapping[str, str] = os.environ) -> "httpx2.Auth | None":
    """What signs the requests to an expanded `server` with stored tokens, renews them, and takes those that another program
    has stored meanwhile. None where nobody has signed in, and where the definition brings a token of its own.

    Raises ConfigError where tokens would go over plain http to another machine.
    """
    own = server.bearer_env or any(name.lower() == "authorization" for name in server.headers)
    if own or not has_tokens(server, home):
        return None
    check_endpoint(server)
    from kimi_agent.mcp.oauth_session import SessionAuth

    return SessionAuth(server, SignIn(server, home), env)


def forget(server: Server, home: Path) -> bool:
    """Remove tokens and registration; whether there were any. Running sessions notice at their next request."""
    return server.transport != "stdio" and SignIn(server, home).remove()


def check_endpoint(server: Server) -> None:
    """Raises ConfigError where a token would not be safe on its way."""
    if server.transport == "stdio":
        raise ConfigError(f'MCP server "{server.name}" is a local program: there is nothing to sign in to')
    if not is_safe(server.url):
        raise ConfigError(
            f'MCP server "{server.name}": tokens are sent over https, or to this machine, not to {server.url!r:.200}',
            "Change its address to https.",
        )
