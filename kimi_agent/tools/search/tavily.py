"""Tavily: https://docs.tavily.com/documentation/api-reference/endpoint/search."""

from kimi_agent.tools.search.template import Fields, Provider, Service, Template

URL = "https://api.tavily.com/search"
_PLAN = "The limit of the Tavily plan is reached: see the usage at app.tavily.com."


def _template(service: Service) -> Template:
    return Template(
        url=service.base_url or URL,
        method="POST",
        headers={"Authorization": "Bearer {api_key}"},
        body={"query": "{query}", "max_results": "{limit}", "include_raw_content": "{include_content}"},
        fields=Fields(snippet="content", date="published_date", content="raw_content"),
        gives_content=True,
        advice={432: _PLAN, 433: _PLAN},
    )


TAVILY = Provider("api_key", _template)
