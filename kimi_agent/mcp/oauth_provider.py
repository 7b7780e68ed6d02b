"""The SDK's OAuth client with a memory: tokens, when they were got, and whose they are outlive the program.

It builds on private methods of the SDK (`_initialize`, `_handle_token_response`, `_refresh_token`, `_handle_refresh_response`):
hence `mcp<3`, and tests/mcp/test_oauth.py fails where they change. It imports the SDK, so it is imported where it is used.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.auth.utils import union_scopes
from mcp.shared.auth import (
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl, BaseModel, Field, ValidationError

from kimi_agent.core.errors import ConfigError
from kimi_agent.mcp.definition import OAuth, Server
from kimi_agent.mcp.oauth_store import SignIn

Model = TypeVar("Model", bound=BaseModel)
EARLY = 45.0
"""Seconds before its end that a token is renewed; of a short life it is the last tenth."""


class Asked(OAuthClientMetadata):
    """What is asked for. Scopes that the person has written down stay as they are, whatever the server proposes; `more` are
    those that it has missed since."""

    fixed: str = Field(default="", exclude=True)
    more: str = Field(default="", exclude=True)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, union_scopes(self.fixed or value, self.more) if name == "scope" else value)


class Storage:
    """The SDK's view of the file."""

    def __init__(self, sign_in: SignIn, oauth: OAuth, env: Mapping[str, str]) -> None:
        self.sign_in, self._oauth, self._env = sign_in, oauth, env
        self.origin: dict[str, Any] = {}
        """Whose the next tokens are: stored in one go with them."""

    async def get_tokens(self) -> OAuthToken | None:
        return self.model(OAuthToken, "tokens")

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.sign_in.update(**self.origin, tokens=_plain(tokens), obtained=time.time())

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        if self._oauth.client_id:
            return self._written_down()
        return self.model(OAuthClientInformationFull, "client")

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.sign_in.update(client=_plain(client_info))

    def model(self, kind: type[Model], key: str) -> Model | None:
        """One part of the file, None where it is not there. Raises ConfigError for one that is not what kimi wrote."""
        data = self.sign_in.read().get(key)
        try:
            return kind.model_validate(data) if data is not None else None
        except ValidationError:
            raise ConfigError(
                f"{self.sign_in.path} is damaged: {key}", f"Then: kimi mcp reset-auth {self.sign_in.server}"
            ) from None

    def _written_down(self) -> OAuthClientInformationFull:
        name = self._oauth.secret_env
        secret = self._env.get(name, "") if name else ""
        if name and not secret:
            raise ConfigError(
                f'MCP server "{self.sign_in.server}": the variable {name} with the client\'s secret is not set'
            )
        method = "client_secret_basic" if secret else "none"
        return OAuthClientInformationFull(
            client_id=self._oauth.client_id, client_secret=secret or None, token_endpoint_auth_method=method
        )


class StoredOAuth(OAuthClientProvider):
    """The SDK's provider for one server, on its file."""

    def __init__(
        self,
        server: Server,
        sign_in: SignIn,
        env: Mapping[str, str],
        redirect: str = "http://127.0.0.1/callback",
        show: Callable[[str], Awaitable[None]] | None = None,
        callback: Callable[[], Awaitable[AuthorizationCodeResult]] | None = None,
    ) -> None:
        self.sign_in, self.storage = sign_in, Storage(sign_in, server.oauth, env)
        asked = Asked(client_name="Kimi", redirect_uris=[AnyUrl(redirect)], fixed=" ".join(server.oauth.scopes))
        document = server.oauth.client_metadata_url or None
        super().__init__(server.url, asked, self.storage, show, callback, client_metadata_url=document)

    async def _initialize(self) -> None:
        await super()._initialize()
        known, context = self.sign_in.read(), self.context
        context.oauth_metadata = self.storage.model(OAuthMetadata, "metadata")
        context.protected_resource_metadata = self.storage.model(ProtectedResourceMetadata, "resource_metadata")
        context.auth_server_url = known.get("auth_server")
        if context.oauth_metadata and str(context.oauth_metadata.issuer) != known.get("issuer"):
            context.clear_tokens()
        elif context.current_tokens and context.current_tokens.expires_in is not None:
            life = float(context.current_tokens.expires_in)
            context.token_expiry_time = float(known.get("obtained", 0)) + life - min(EARLY, life / 10)
        self._choose_method()

    async def _handle_token_response(self, response: httpx2.Response) -> None:
        context, metadata = self.context, self.context.oauth_metadata
        self.storage.origin = {
            "issuer": str(metadata.issuer) if metadata else None,
            "metadata": _plain(metadata),
            "resource_metadata": _plain(context.protected_resource_metadata),
            "auth_server": context.auth_server_url,
            "wanted": None,
        }
        await super()._handle_token_response(response)

    def _choose_method(self) -> None:
        """A client that was registered by hand has a secret; how it is sent is for the server to say."""
        client, metadata = self.context.client_info, self.context.oauth_metadata
        offered = metadata.token_endpoint_auth_methods_supported if metadata else None
        if client and client.client_secret and offered and client.token_endpoint_auth_method not in offered:
            client.token_endpoint_auth_method = next(
                (method for method in ("client_secret_basic", "client_secret_post") if method in offered),
                client.token_endpoint_auth_method,
            )

    async def _exchange_token_authorization_code(self, auth_code: str, code_verifier: str) -> httpx2.Request:
        self._choose_method()
        return await super()._exchange_token_authorization_code(auth_code, code_verifier)


def _plain(model: BaseModel | None) -> dict[str, Any] | None:
    return None if model is None else model.model_dump(mode="json", exclude_none=True)
