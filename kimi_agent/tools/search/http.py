"""Any service that answers JSON, described in the configuration."""

from kimi_agent.tools.search.template import Provider, Service, Template


def _template(service: Service) -> Template:
    placed = "{api_key}" in service.base_url + str(service.body) + str(service.custom_headers)
    return Template(
        url=service.base_url,
        method=service.method,
        headers={"Authorization": "Bearer {api_key}"} if service.api_key and not placed else {},
        body=service.body or None,
        results=service.results,
        fields=service.fields,
        gives_content=bool(service.fields.content),
    )


HTTP = Provider("base_url", _template)
