"""SearXNG, one's own or a public instance: https://docs.searxng.org/dev/search_api.html. It takes no limit."""

from kimi_agent.tools.search.template import Fields, Provider, Service, Template


def _template(service: Service) -> Template:
    return Template(
        url=f"{service.base_url.rstrip('/').removesuffix('/search')}/search?q={{query}}&format=json",
        headers={"Authorization": "Bearer {api_key}"} if service.api_key else {},
        fields=Fields(snippet="content", date="publishedDate", content=""),
        advice={403: "The instance must allow JSON: `search: formats: [html, json]` in its settings.yml."},
    )


SEARXNG = Provider("base_url", _template)
