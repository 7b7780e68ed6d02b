"""The `[services]` of the configuration: which search service, and what is missing for it to be asked."""

from collections.abc import Mapping
from dataclasses import replace

from kimi_agent.config.data import Config, ServiceConfig
from kimi_agent.config.file import Problem

SEARCH_NEEDS = {
    "moonshot": "api_key",
    "brave": "api_key",
    "tavily": "api_key",
    "searxng": "base_url",
    "http": "base_url",
}
"""Types of `[services.search]`, and the key that each cannot do without."""
KEY_VARIABLES = {"brave": "BRAVE_API_KEY", "tavily": "TAVILY_API_KEY"}
"""Where the key of a type is looked for when the file has none."""


def wrong_services(config: Config) -> list[Problem]:
    service = config.services.get("search")
    if service is None:
        return []
    at, known = ("services", "search"), ", ".join(SEARCH_NEEDS)
    if service.type not in SEARCH_NEEDS:
        what = f'unknown type "{service.type}"' if service.type else '"services.search" needs a key "type"'
        return [Problem((*at, "type"), f"{what}. Known: {known}")]
    if service.type == "http" and "{query}" not in service.base_url + str(service.body):
        text = '"services.search": neither "base_url" nor "body" says where the {query} goes'
        return [Problem((*at, "base_url"), text, fatal=False)]
    return []


def with_keys(services: Mapping[str, ServiceConfig], env: Mapping[str, str]) -> dict[str, ServiceConfig]:
    """The services with the keys that only the environment has."""
    return {
        name: service if service.api_key else replace(service, api_key=env.get(KEY_VARIABLES.get(service.type, ""), ""))
        for name, service in services.items()
    }


def what_is_missing(services: Mapping[str, ServiceConfig]) -> str:
    """Why `[services.search]` is not offered to the model, empty when it is or when there is none."""
    service = services.get("search")
    need = SEARCH_NEEDS[service.type] if service else ""
    if not service or getattr(service, need):
        return ""
    variable = KEY_VARIABLES.get(service.type)
    return f'services.search has no "{need}"{f", {variable} is not set" if variable else ""}: there is no web search'
