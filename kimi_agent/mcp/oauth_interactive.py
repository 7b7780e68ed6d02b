"""The sign-in itself: the SDK's flow, led to hosts that we checked. Imported where it is used: it imports the SDK."""

from collections.abc import AsyncGenerator
from contextlib import suppress

import httpx2
from mcp.client.auth.utils import union_scopes

from kimi_agent.mcp.definition import Server
from kimi_agent.mcp.http import PATIENCE, Heard, headers_of
from kimi_agent.mcp.http_client import client
from kimi_agent.mcp.oauth_hosts import check
from kimi_agent.mcp.oauth_provider import Asked, StoredOAuth

_LARGEST = 1024 * 1024
_HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "kimi", "version": "0"}},
}


class InteractiveAuth(StoredOAuth):
    """Signs in anew, whatever is stored, but with the same registration where it still fits."""

    signed_in = False

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
        """The SDK's, with each address checked before it is asked. A server that lets strangers say hello is signed in to all
        the same: it may ask for a token later."""
        flow, first = super()._auth_flow(request), True
        try:
            outgoing = await anext(flow)
            while True:
                if outgoing is not request:
                    await check(str(outgoing.url), self.context.server_url, "what the server leads to")
                response = yield outgoing
                if first and response.status_code != 401 and request.method == "POST":
                    response = httpx2.Response(401, request=request)
                first = False
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()


async def first_request(server: Server, auth: InteractiveAuth) -> str:
    """Say hello; the SDK's flow begins at the refusal. What the server still says against it at last, "" for nothing."""
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
