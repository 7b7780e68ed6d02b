"""Brave Search: https://api-dashboard.search.brave.com/documentation."""

from kimi_agent.tools.search.template import Fields, Provider, Service, Template

URL = "https://api.search.brave.com/res/v1/web/search"


def _template(service: Service) -> Template:
    return Template(
        url=f"{service.base_url or URL}?q={{query}}&count={{limit}}&text_decorations=false",
        headers={"X-Subscription-Token": "{api_key}"},
        results="web.results",
        fields=Fields(snippet="description", date="page_age"),
        optional=True,
        advice={
            422: "Brave refuses a wrong api_key this way, and a query that is too long (400 characters, 50 words)."
        },
    )


BRAVE = Provider("api_key", _template)
