"""SearchWeb: what the configured search service finds, with sources that an answer can cite."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.search import search_client
from kimi_agent.tools.search.client import Client, Result
from kimi_agent.tools.search.template import Query, Service
from kimi_agent.tools.untrusted import one_line, quoted

_CONTENT_CHARS = 40_000
"""Of the pages' content of all results together."""


class SearchWebParams(Struct, frozen=True):
    query: str
    limit: Annotated[int, Meta(ge=1, le=20)] = 5
    include_content: Annotated[bool, Meta(description="Also the text of the pages: long.")] = False


class SearchWeb:
    name = "SearchWeb"
    description = prompt(__file__)
    Params: type[Any] = SearchWebParams

    def __init__(self, client: Client) -> None:
        self._client = client

    def effects(self, params: SearchWebParams, ctx: ToolContext) -> Sequence[Effect]:
        if not params.query.strip():
            raise ToolError("The query is empty.")
        return (Effect("fetch", self._client.effect_url(params.query)),)

    async def preview(self, params: SearchWebParams, ctx: ToolContext) -> Display:
        return Plain(f"search at {self._client.host}: {params.query}")

    async def run(self, params: SearchWebParams, ctx: ToolContext) -> ToolOutput:
        query = Query(params.query, params.limit, params.include_content, ctx.call_id)
        results = await self._client.search(query)
        if not results:
            return text_output(f"{self._client.host} found nothing. Try other or fewer words.", Plain("no results"))
        lines = [f"Results of {self._client.host} for {one_line(params.query, 200)!r}. Cite the URLs of what you use."]
        lines.append(quoted("search_results", "\n\n".join(_listed(results))))
        if params.include_content and not self._client.template.gives_content:
            lines.append("This service sends no page content: read pages with FetchURL.")
        hosts = dict.fromkeys(urlsplit(result.url).netloc for result in results)
        return text_output("\n".join(lines), Plain(f"{len(results)} results: {', '.join(hosts)}"))


def search_web(services: Mapping[str, Service]) -> SearchWeb | None:
    """The tool, None when no search service is configured: the model is then not told of it."""
    client = search_client(services)
    return SearchWeb(client) if client else None


def _listed(results: Sequence[Result]) -> list[str]:
    """The results, numbered; each may have its share of the content."""
    share, texts = _CONTENT_CHARS // len(results), []
    for number, result in enumerate(results, start=1):
        lines = [f"{number}. {result.title or '[no title]'}", f"URL: {result.url}"]
        lines += [f"Date: {result.date}"] if result.date else []
        lines += [result.snippet] if result.snippet else []
        if result.content:
            cut = len(result.content) > share
            lines.append("\n" + result.content[:share] + ("\n[cut: read the page with FetchURL]" if cut else ""))
        texts.append("\n".join(lines))
    return texts
