"""The search service of Kimi Code, as kimi-cli asked it."""

from kimi_agent.tools.search.template import Provider, Service, Template

URL = "https://api.kimi.com/coding/v1/search"


def _template(service: Service) -> Template:
    return Template(
        url=service.base_url or URL,
        method="POST",
        headers={"Authorization": "Bearer {api_key}", "X-Msh-Tool-Call-Id": "{call_id}"},
        body={
            "text_query": "{query}",
            "limit": "{limit}",
            "enable_page_crawling": "{include_content}",
            "timeout_seconds": 30,
        },
        results="search_results",
        gives_content=True,
    )


MOONSHOT = Provider("api_key", _template)
