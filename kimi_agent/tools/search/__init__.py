"""The table of search services. A new one is a file in this folder and a line here (and one in config/services.py)."""

from collections.abc import Mapping

from kimi_agent.tools.search.brave import BRAVE
from kimi_agent.tools.search.client import Client
from kimi_agent.tools.search.http import HTTP
from kimi_agent.tools.search.moonshot import MOONSHOT
from kimi_agent.tools.search.searxng import SEARXNG
from kimi_agent.tools.search.tavily import TAVILY
from kimi_agent.tools.search.template import Provider, Service

PROVIDERS: dict[str, Provider] = {
    "moonshot": MOONSHOT,
    "brave": BRAVE,
    "tavily": TAVILY,
    "searxng": SEARXNG,
    "http": HTTP,
}

SERVICES = {"search": "", "moonshot_search": "moonshot"}
"""The names of services that search, the first one first, and the type of those that kimi-cli writes without one."""


def search_client(services: Mapping[str, Service]) -> Client | None:
    """Who is asked; None when no service is configured, or what it needs is missing."""
    name = next((name for name in SERVICES if name in services), "")
    if not name:
        return None
    service = services[name]
    provider = PROVIDERS.get(service.type or SERVICES[name])
    complete = provider is not None and getattr(service, provider.needs)
    return Client(name, service, provider.template(service)) if provider and complete else None
