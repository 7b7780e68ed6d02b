"""One server over HTTP: streamable HTTP, and the older HTTP with server-sent events."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.definition import Server

if TYPE_CHECKING:
    import httpx2

LARGEST = 64 * 1024 * 1024
"""Bytes of one event or one JSON answer; of what is larger the call fails, and says so."""
PATIENCE = 30.0
"""Seconds to connect and to send; and how long an answer may say nothing is at least `SILENCE`."""
SILENCE = 300.0


@dataclass(slots=True)
class Heard:
    """The last refusal of a server, which the SDK does not pass on. `status` 0: there was none."""

    status: int = 0
    www_authenticate: str = ""
    url: str = ""
    retry_after: str = ""
    in_session: bool = False

    @property
    def needs_auth(self) -> bool:
        """It wants a sign-in: a token that it knows, or one with a scope more."""
        return self.status == 401 or (self.status == 403 and self.field("error") == "insufficient_scope")

    @property
    def session_lost(self) -> bool:
        """It knows the session no more: a new connection helps."""
        return self.status == 404 and self.in_session

    @property
    def scope(self) -> str:
        """What a token must allow, in words of the server."""
        return self.field("scope")

    def field(self, name: str) -> str:
        """One parameter of the challenge (RFC 9110, 11.6.1), "" where there is none."""
        import re

        found = re.search(rf'(?<![\w-]){name}\s*=\s*(?:"([^"]*)"|([^\s,"]+))', self.www_authenticate, re.IGNORECASE)
        return (found[1] or found[2] or "") if found else ""

    @property
    def cause(self) -> str:
        """What was refused, in words for a person; "" where nothing was. Not cleaned: the server said some of it."""
        if not self.status:
            return ""
        from http import HTTPStatus

        try:
            phrase = HTTPStatus(self.status).phrase
        except ValueError:
            phrase = ""
        wait = f", retry after {self.retry_after}" if self.retry_after else ""
        more = self.field("error_description") or self.field("error")
        return f"HTTP {self.status} {phrase}".rstrip() + wait + (f": {more}" if more else "")

    def forget(self) -> None:
        self.status, self.www_authenticate, self.url, self.retry_after, self.in_session = 0, "", "", "", False


@asynccontextmanager
async def http_transport(
    server: Server, auth: "httpx2.Auth | None", heard: Heard, env: Mapping[str, str] = os.environ
) -> AsyncIterator[tuple[Any, Any]]:
    """Streams of the SDK for an expanded `server`, whose refusals are kept in `heard`.

    Raises ConfigError for a header that cannot be sent, and what httpx2 raises where nothing answers.
    """
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    from kimi_agent.mcp.http_client import client
    from kimi_agent.mcp.sse import sse_streams

    timeout = httpx2.Timeout(PATIENCE, read=max(SILENCE, (server.tool_timeout or 0) * 1.5))
    async with client(heard, headers_of(server, env), auth, timeout, LARGEST) as http:
        if server.transport == "sse":
            transport = sse_streams(http, server.url, LARGEST)
        else:
            transport = streamable_http_client(server.url, http_client=http, max_sse_event_size=LARGEST)
        async with transport as streams:
            yield streams


def headers_of(server: Server, env: Mapping[str, str]) -> dict[str, str]:
    """Headers as they are sent, with the token of its variable where they have none. Raises ConfigError, which names no value."""
    headers = dict(server.headers)
    if server.bearer_env and "authorization" not in map(str.lower, headers):
        token = env.get(server.bearer_env, "").strip()
        if not token:
            raise ConfigError(
                f'MCP server "{server.name}": the variable {server.bearer_env} with its token is not set',
                f"Set it, or take `bearer_env` out. {_where(server)}".rstrip(),
            )
        headers["Authorization"] = f"Bearer {token}"
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or not _sendable(value):
            raise ConfigError(f'MCP server "{server.name}": the header {name!r:.80} cannot be sent', _where(server))
    return headers


def _sendable(value: str) -> bool:
    return value.isascii() and not any(char < " " or char == "\x7f" for char in value)


def _where(server: Server) -> str:
    return f"Look at {server.source}." if server.source else ""
