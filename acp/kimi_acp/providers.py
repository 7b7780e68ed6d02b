"""Where models are served, as the client wants it: for the sessions of this process that are opened from then on, in no file.

A key of the person's goes to no other server than that for which it is configured: the client brings headers of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from kimi_acp.params import Provider
from kimi_acp.peer import RpcError
from kimi_acp.wire import INVALID_PARAMS
from kimi_agent.config import Config, ProviderConfig
from kimi_agent.providers import DEFAULT_URLS

KINDS: Mapping[str, frozenset[str]] = {
    "openai": frozenset(["kimi", "openai", "openai_legacy", "openai_responses", "gemini", "google_genai"]),
    "anthropic": frozenset(["anthropic"]),
}
"""What the protocol calls an API, and the types of providers that speak it; the name of an API is one of them."""


class Providers:
    """`load` reads the configuration; it raises ConfigError."""

    def __init__(self, load: Callable[[], Config]) -> None:
        self._load = load
        self._given: dict[str, Provider | None] = {}  # None: turned off

    def config(self) -> Config:
        """The configuration with what the client has set. Raises ConfigError."""
        config = self._load()
        given = {name: each for name, each in self._given.items() if name in config.providers}
        if not given:
            return config
        providers = {**config.providers, **{n: _set(config.providers[n], each) for n, each in given.items() if each}}
        models = {name: m for name, m in config.models.items() if given.get(m.provider, m) is not None}
        default = config.default_model if config.default_model in models else next(iter(models), "")
        return replace(config, providers=providers, models=models, default_model=default)

    def listed(self) -> list[dict[str, Any]]:
        """Raises ConfigError."""
        config = self.config()
        return [self._told(name, provider) for name, provider in config.providers.items()]

    def _told(self, name: str, provider: ProviderConfig) -> dict[str, Any]:
        told: dict[str, Any] = {"providerId": name, "supported": list(KINDS), "required": False}
        if name in self._given and self._given[name] is None:
            return told
        url = provider.base_url or DEFAULT_URLS.get(provider.type, "")
        return {**told, "current": {"apiType": _api(provider), "baseUrl": url}}

    def set(self, given: Provider) -> None:
        """Raises RpcError for what cannot be, ConfigError."""
        if given.api_type not in KINDS:
            raise RpcError(INVALID_PARAMS, f"Invalid params: `apiType` must be one of {', '.join(KINDS)}")
        if _origin(given.base_url) is None:
            raise RpcError(INVALID_PARAMS, "Invalid params: `baseUrl` must be an address like https://host/v1")
        self._require(given.provider_id)
        self._given[given.provider_id] = given

    def disable(self, name: str) -> None:
        """One that there is not is not used anyway. Raises ConfigError."""
        if name in self._load().providers:
            self._given[name] = None

    def _require(self, name: str) -> None:
        known = self._load().providers
        if name not in known:
            names = ", ".join(known) or "there is none"
            raise RpcError(INVALID_PARAMS, f"Invalid params: there is no provider {name[:60]!r}. Known: {names}")


def _api(provider: ProviderConfig) -> str:
    """In the words of the protocol, where those that are no part of it begin with a line."""
    return next((name for name, types in KINDS.items() if provider.type in types), f"_{provider.type}")


def _set(provider: ProviderConfig, given: Provider) -> ProviderConfig:
    same = provider.type in KINDS[given.api_type]
    configured = _origin(provider.base_url or DEFAULT_URLS.get(provider.type, ""))
    key = provider.api_key if configured == _origin(given.base_url) else ""
    kind = provider.type if same else given.api_type
    return replace(provider, type=kind, base_url=given.base_url, api_key=key, custom_headers=dict(given.headers or {}))


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Which server an address is of; None for one that is none."""
    try:
        parts = urlsplit(url)
        return (
            (parts.scheme, parts.hostname, parts.port) if parts.scheme in ("http", "https") and parts.hostname else None
        )
    except ValueError:
        return None
