"""The sign-in itself: the SDK's flow, led to hosts that we checked. Imported where it is used: it imports the SDK."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from types import MappingProxyType

import httpx2
from mcp import Client
from mcp.client.auth.utils import union_scopes

from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.http import PATIENCE, Heard, headers_of, http_transport
from kimi_agent.mcp.http_client import client
from kimi_agent.mcp.oauth_hosts import check
from kimi_agent.mcp.oauth_provider import Asked, StoredOAuth

_LARGEST = 1024 * 1024
_HEARING = 10.0  # seconds: a person waits for the address
_HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "kimi", "version": "0"}},
}


class InteractiveAuth(StoredOAuth):
    """Signs in anew, whatever is stored, but with the same registration where it still fits."""

    signed_in = False
    _challenge: Mapping[str, str] = MappingProxyType({})

    async def _initialize(self) -> None:
        await super()._initialize()
        context = self.context
        granted, wanted = (
            context.current_tokens.scope if context.current_tokens else None,
            self.sign_in.read().get("wanted"),
        )
        if isinstance(context.client_metadata, Asked) and wanted:
            context.client_metadata.more = union_scopes(granted, wanted) or ""
        context.clear_tokens()
        context.oauth_metadata = context.protected_resource_metadata = context.auth_server_url = None

    async def _handle_token_response(self, response: httpx2.Response) -> None:
        await super()._handle_token_response(response)
        self.signed_in = True

    async def _auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """The SDK's, which begins at a refusal: it gets the one that we heard, or one that says nothing, since a server may let
        strangers say hello and want a token later. Each address is checked before it is asked."""
        flow = super()._auth_flow(request)
        try:
            await anext(flow)
            outgoing = await flow.asend(httpx2.Response(401, headers=self._challenge, request=request))
            while True:
                if outgoing is not request:
                    await check(str(outgoing.url), self.context.server_url, "what the server leads to")
                response = yield outgoing
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    async def hear(self, server: Server) -> None:
        """Come without a token, as far as the list of tools: what the server says to that is what it wants."""
        heard = Heard()
        with suppress(Exception):  # if there is nobody, the sign-in will tell
            async with (
                asyncio.timeout(PATIENCE),
                Client(http_transport(server, None, heard, {}), mode=server.protocol) as guest,
            ):
                await guest.list_tools()
        if heard.status == 401 and heard.www_authenticate:
            self._challenge = {"www-authenticate": heard.www_authenticate}


async def first_request(server: Server, auth: InteractiveAuth) -> str:
    """The sign-in, and a hello with the token that comes of it. What the server still says against that, "" for nothing."""
    await auth.hear(server)
    heard, headers = Heard(), headers_of(server, {})
    timeout = httpx2.Timeout(PATIENCE)
    async with client(heard, headers, auth, timeout, _LARGEST) as http:
        if server.transport == "sse":
            request = http.build_request("GET", server.url, headers={"accept": "text/event-stream"})
        else:
            accepted = {"accept": "application/json, text/event-stream"}
            request = http.build_request("POST", server.url, json=_HELLO, headers=accepted)
        response = await http.send(request, stream=True)
        await response.aclose()
        session = response.headers.get("mcp-session-id")
        if session:
            with suppress(httpx2.HTTPError):
                token = auth.context.current_tokens.access_token if auth.context.current_tokens else ""
                signed = {"mcp-session-id": session, "authorization": f"Bearer {token}"}
                await http.delete(server.url, headers=signed, auth=httpx2.Auth())
    return heard.cause if response.status_code in (401, 403) else ""
