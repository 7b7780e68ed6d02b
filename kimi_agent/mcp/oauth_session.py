"""Requests of a running session, signed with stored tokens. Imported where it is used: it imports the SDK."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping

import httpx2
from mcp.client.auth.utils import extract_field_from_www_auth, extract_scope_from_www_auth, union_scopes

from kimi_agent.core.errors import KimiError
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.http_client import limited
from kimi_agent.mcp.oauth_hosts import check
from kimi_agent.mcp.oauth_provider import StoredOAuth
from kimi_agent.mcp.oauth_store import SignIn

PATIENCE = 30.0
"""Seconds for one renewal, and for that of another program."""
_GONE = {"invalid_grant": ("tokens", "obtained"), "invalid_client": ("tokens", "obtained", "client")}
"""What a refusal of the authorization server makes worthless: a registration outlives its tokens."""


class SessionAuth(StoredOAuth):
    """Signs, and renews in time. It never begins a sign-in: a request that is refused stays so, for the session to say.

    The SDK holds its lock until a request is answered, which would let one slow call hold up all others; here a lock is held for
    a renewal only. A renewal runs in a task of its own: a call that is cancelled must not lose the token that it was waiting for.
    """

    def __init__(self, server: Server, sign_in: SignIn, env: Mapping[str, str]) -> None:
        super().__init__(server, sign_in, env)
        self._address = httpx2.URL(server.url)
        self._seen: tuple[int, int, int] | None = None
        self._refused = ""
        self._renewal: asyncio.Task[None] | None = None

    async def _auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if not self._is_ours(request.url):
            yield request
            return
        for again in (False, True):
            await self._renew()
            token = self._token()
            if again and token in ("", self._refused):
                return
            if token:
                request.headers["Authorization"] = f"Bearer {token}"
            response = yield request
            if response.status_code == 403:
                self._note_scopes(response)
            if response.status_code != 401:
                return
            self._refused = token  # revoked, or renewed by another program: what is stored now may be better

    def _token(self) -> str:
        return self.context.current_tokens.access_token if self.context.current_tokens else ""

    def _is_ours(self, url: httpx2.URL) -> bool:
        """The server's own origin, or its https (the SDK follows a redirect there)."""
        own = self._address
        upgraded = own.scheme == "http" and url.scheme == "https" and own.port is None and url.port is None
        return url.host == own.host and (upgraded or (url.scheme, url.port) == (own.scheme, own.port))

    def _note_scopes(self, response: httpx2.Response) -> None:
        """What the next sign-in asks for besides."""
        scopes = extract_scope_from_www_auth(response)
        if scopes and extract_field_from_www_auth(response, "error") == "insufficient_scope":
            known = self.sign_in.read().get("wanted")
            if union_scopes(known, scopes) != known:
                self.sign_in.update(wanted=union_scopes(known, scopes))

    def _is_due(self) -> bool:
        return bool(self._token()) and (self._token() == self._refused or not self.context.is_token_valid())

    async def _load(self) -> None:
        """Take what another program has stored, where it has."""
        stamp = self.sign_in.stamp()
        if stamp != self._seen:
            self._seen = stamp
            await self._initialize()

    async def _renew(self) -> None:
        await self._load()
        if not self._is_due() or not self.context.can_refresh_token():
            return
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew_alone())
            self._renewal.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )  # it may have lost its caller
        await asyncio.shield(self._renewal)

    async def _renew_alone(self) -> None:
        async with self.sign_in.alone(PATIENCE):
            await self._load()
            if not self._is_due() or not self.context.can_refresh_token():
                return
            request = await self._refresh_token()
            await check(str(request.url), str(self._address), "the token endpoint")
            try:
                async with asyncio.timeout(PATIENCE), limited() as http:
                    response = await http.send(request)
            except (httpx2.HTTPError, TimeoutError) as error:
                self._not_renewed(f"{request.url.host} cannot be reached ({type(error).__name__})")
                return
            if response.status_code == 200:
                await self._handle_refresh_response(response)
                self._seen = None  # read what was stored, with the time of its end
            else:
                self._refused_renewal(request, response)

    def _refused_renewal(self, request: httpx2.Request, response: httpx2.Response) -> None:
        try:
            reason = str(response.json().get("error", ""))
        except (ValueError, AttributeError):
            reason = ""
        if reason in _GONE:
            self.sign_in.update(**dict.fromkeys(_GONE[reason]))
            self.context.clear_tokens()
            self._seen = None
        else:
            said = visible(" ".join(plain(reason).split()))[:80]
            self._not_renewed(f"{request.url.host} answers HTTP {response.status_code} {said}".rstrip())

    def _not_renewed(self, why: str) -> None:
        """A token that has not yet ended may still do. Raises KimiError for one that has."""
        tokens = self.context.current_tokens
        life = tokens.expires_in if tokens and tokens.expires_in else 0
        if self._token() == self._refused or time.time() > float(self.sign_in.read().get("obtained", 0)) + life:
            raise KimiError(f'the sign-in of MCP server "{self.sign_in.server}" cannot be renewed: {why}')
