"""Models behind APIs. Imports core only.

`PROVIDERS` is the table of kinds; an addition is one module and one line here.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.provider import Endpoint, Model, Provider

Factory: TypeAlias = Callable[[Endpoint, Model], Provider]

GOOGLE_URL = "https://generativelanguage.googleapis.com/v1beta/openai"
DEFAULT_URLS = {
    "kimi": "https://api.moonshot.ai/v1",
    "openai": "https://api.openai.com/v1",
    "openai_legacy": "https://api.openai.com/v1",
    "openai_responses": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": GOOGLE_URL,
    "google_genai": GOOGLE_URL,
}


def _chat_completions(endpoint: Endpoint, model: Model) -> Provider:
    from kimi_agent.providers.chat_completions import ChatCompletions

    return ChatCompletions(endpoint, model)


def _responses(endpoint: Endpoint, model: Model) -> Provider:
    from kimi_agent.providers.responses import Responses

    return Responses(endpoint, model)


def _anthropic(endpoint: Endpoint, model: Model) -> Provider:
    from kimi_agent.providers.anthropic import Anthropic

    return Anthropic(endpoint, model)


def _scripted(endpoint: Endpoint, model: Model) -> Provider:
    from kimi_agent.providers.scripted import ScriptedProvider, load_scenario

    return ScriptedProvider(load_scenario(endpoint.base_url), model=model)


def _chaos(endpoint: Endpoint, model: Model) -> Provider:
    from kimi_agent.providers.chaos import Chaos

    seed, rate = endpoint.sampling.get("seed", 0), endpoint.sampling.get("rate", 0.3)
    return Chaos(_scripted(endpoint, model), seed=int(seed), rate=float(rate))


PROVIDERS: dict[str, Factory] = {
    "kimi": _chat_completions,
    "kimi_engine": _chat_completions,
    "openai_legacy": _chat_completions,
    "openai": _chat_completions,
    "openai_responses": _responses,
    "anthropic": _anthropic,
    "gemini": _chat_completions,
    "google_genai": _chat_completions,
    "scripted": _scripted,
    "chaos": _chaos,
}


def with_default_url(endpoint: Endpoint) -> Endpoint:
    """The endpoint with the public address of its kind where it has none of its own. Raises ConfigError as `make_provider`."""
    _factory(endpoint)
    if endpoint.base_url or endpoint.kind not in DEFAULT_URLS:
        return endpoint
    fields: dict[str, Any] = {name: getattr(endpoint, name) for name in endpoint.__struct_fields__}
    return Endpoint(**{**fields, "base_url": DEFAULT_URLS[endpoint.kind]})


def make_provider(endpoint: Endpoint, model: Model) -> Provider:
    """The provider for `model` at `endpoint`. Nothing is imported or connected before it is used.

    Raises ConfigError for an unknown kind, a missing extra, or an address, header or scenario that cannot be used.
    """
    return _factory(endpoint)(with_default_url(endpoint), model)


def _factory(endpoint: Endpoint) -> Factory:
    factory = PROVIDERS.get(endpoint.kind)
    if factory is None:
        known = ", ".join(sorted(PROVIDERS))
        raise ConfigError(
            f"provider {endpoint.name!r} has the unknown type {endpoint.kind!r}.", f"Known types: {known}."
        )
    return factory
