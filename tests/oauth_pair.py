"""An MCP server that wants tokens, and the authorization server that gives them, on two ports of loopback.

The issuer has a path; clients register themselves, or have a document of theirs; PKCE is checked; refresh tokens are good for one
use; tokens live for `life` seconds, which the client is told of, or told something else (`told`). `log` holds what the
authorization server was asked, in order, as its page `/log` does.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from mcp_http_server import Asked, McpHttpServer

Page = tuple[int, bytes, dict[str, str]]


@dataclass
class AuthorizationServer(McpHttpServer):
    """What it does wrong is said by `iss`, `state` (sent back in place of the right ones), `denies` and `broken`, an error that
    every request for a token gets, with its status."""

    life: float = 60
    told: int | None = None
    iss: str | None = None
    state: str | None = None
    denies: bool = False
    broken: tuple[int, str] | None = None
    documents: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.lock = threading.Lock()
        self.clients: dict[str, dict[str, Any]] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refresh: dict[str, str] = {}  # token -> scope
        self.access: dict[str, tuple[float, str]] = {}  # token -> end, scope

    @property
    def issuer(self) -> str:
        return f"{self.origin}/tenant"

    def page(self, asked: Asked) -> Page:
        path, _, query = asked.path.partition("?")
        with self.lock:
            match path:
                case "/.well-known/oauth-authorization-server/tenant":
                    return _json(200, self._about())
                case "/tenant/register":
                    return self._register(asked.body)
                case "/tenant/authorize":
                    return self._authorize({name: values[0] for name, values in parse_qs(query).items()})
                case "/tenant/token":
                    return self._token({name: values[0] for name, values in parse_qs(asked.body).items()})
                case "/log":
                    return _json(200, self.log)
        return 404, b"", {}

    def _about(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "registration_endpoint": f"{self.issuer}/register",
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "client_id_metadata_document_supported": self.documents,
            **self.metadata,
        }

    def _register(self, body: dict[str, Any]) -> Page:
        client = {**body, "client_id": f"client-{len(self.clients) + 1}", "token_endpoint_auth_method": "none"}
        self.clients[client["client_id"]] = client
        self.log.append("register")
        return _json(201, client)

    def _authorize(self, query: dict[str, str]) -> Page:
        self.log.append("authorize")
        back = {"state": self.state or query["state"], "iss": self.iss or self.issuer}
        if self.denies:
            back |= {"error": "access_denied", "error_description": "not \x1b[31mtoday"}
        else:
            back["code"] = secrets.token_urlsafe(8)
            self.codes[back["code"]] = query
        return 302, b"", {"location": f"{query['redirect_uri']}?{urlencode(back)}"}

    def _token(self, form: dict[str, str]) -> Page:
        self.log.append(f"token {form['grant_type']}")
        if self.broken:
            return _json(self.broken[0], {"error": self.broken[1]})
        if form["grant_type"] == "refresh_token":
            scope = self.refresh.pop(form["refresh_token"], None)
            return _json(400, {"error": "invalid_grant"}) if scope is None else self._give(scope)
        asked = self.codes.pop(form["code"], None)
        digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        same = asked and all(form[name] == asked[name] for name in ("client_id", "redirect_uri", "resource"))
        if not asked or not same or digest != asked["code_challenge"]:
            return _json(400, {"error": "invalid_grant"})
        return self._give(asked.get("scope", ""))

    def _give(self, scope: str) -> Page:
        access, refresh = secrets.token_urlsafe(8), secrets.token_urlsafe(8)
        self.access[access] = (time.time() + self.life, scope)
        self.refresh[refresh] = scope
        given = {"access_token": access, "token_type": "Bearer", "refresh_token": refresh, "scope": scope}
        return _json(200, given | {"expires_in": int(self.life) if self.told is None else self.told})

    def end_tokens(self) -> None:
        self.access.clear()

    def scope_of(self, token: str) -> str | None:
        """None for a token that is none, or has ended."""
        end, scope = self.access.get(token, (0.0, ""))
        return scope if time.time() < end else None


@dataclass
class ResourceServer(McpHttpServer):
    """An MCP server that lets those with a token of `guard` in; its tool needs the scope `big` where `strict` is set."""

    guard: AuthorizationServer = field(default_factory=AuthorizationServer)
    strict: bool = False
    leads_to: str = ""

    def page(self, asked: Asked) -> Page | None:
        about = "/.well-known/oauth-protected-resource/mcp"
        if asked.path == about:
            servers = [self.leads_to or self.guard.issuer]
            return _json(200, {"resource": self.url, "authorization_servers": servers, "scopes_supported": ["basic"]})
        scope = self.guard.scope_of(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if scope is None:
            return 401, b"", {"www-authenticate": f'Bearer resource_metadata="{self.origin}{about}"'}
        calls = isinstance(asked.body, dict) and asked.body.get("method") == "tools/call"
        if self.strict and calls and "big" not in scope.split():
            return 403, b"", {"www-authenticate": 'Bearer error="insufficient_scope", scope="big"'}
        return None


def answer_of(url: str) -> str:
    """Where the authorization server at `url` sends a browser in which everything is granted at once."""
    import http.client

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        response = connection.getresponse()
        assert response.status == 302, response.status
        return response.headers["location"]
    finally:
        connection.close()


def visit(url: str) -> tuple[int, str]:
    """What a page on loopback says."""
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=30) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _json(status: int, data: Any) -> Page:
    return status, json.dumps(data).encode(), {"content-type": "application/json"}
