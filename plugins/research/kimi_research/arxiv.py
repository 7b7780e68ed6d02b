"""Arxiv: papers by words or by number, from arXiv's Atom API (https://info.arxiv.org/help/api/user-manual.html)."""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.net import parse_url
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.untrusted import one_line, quoted

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PAUSE_S = 3.0
"""Seconds between two requests, as arXiv's terms of use ask for."""
TIME_LIMIT_S = 45.0
_ATOM = "{http://www.w3.org/2005/Atom}"
_FIELD = re.compile(r"\b(?:all|ti|au|abs|co|jr|cat|rn|id|submittedDate):")
_NUMBER = re.compile(r"(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?\Z")
_AUTHORS, _ABSTRACT = 6, 2500


class ArxivParams(Struct, frozen=True):
    query: str = ""
    id: str = ""
    limit: Annotated[int, Meta(ge=1, le=20)] = 5


class Arxiv:
    name = "Arxiv"
    description = prompt(__file__)
    Params: type[Any] = ArxivParams

    def __init__(self, url: str, *, allow_private: bool = False, pause_s: float = PAUSE_S) -> None:
        self._url, self._allow_private, self._pause_s = url, allow_private, pause_s
        self._free_at = 0.0
        self._turn = asyncio.Lock()

    def effects(self, params: ArxivParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("fetch", parse_url(self._address(params)).url),)

    async def preview(self, params: ArxivParams, ctx: ToolContext) -> Display:
        return Plain(f"arXiv: {params.id or params.query}")

    async def run(self, params: ArxivParams, ctx: ToolContext) -> ToolOutput:
        papers = [_paper(number, entry) for number, entry in enumerate(_entries(await self._feed(params)), start=1)]
        if not papers:
            return text_output("arXiv has nothing for this. Try other or fewer words.", Plain("no papers"))
        return text_output(quoted("papers", "\n\n".join(papers)), Plain(f"{len(papers)} papers"))

    def _address(self, params: ArxivParams) -> str:
        if params.id.strip():
            wanted = {"id_list": ",".join(map(_number, params.id.split(",")))}
        elif words := params.query.split():
            query = params.query if _FIELD.search(params.query) else " AND ".join(f"all:{word}" for word in words)
            wanted = {"search_query": query, "sortBy": "relevance"}
        else:
            raise ToolError("Give a query or an id.")
        return f"{self._url}?{urlencode({**wanted, 'max_results': params.limit}, errors='replace')}"

    async def _feed(self, params: ArxivParams) -> bytes:
        """One request at a time, each a pause after the one before."""
        from kimi_agent.tools.http_get import get

        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))
            try:
                async with asyncio.timeout(TIME_LIMIT_S):
                    page = await get(self._address(params), allow_private=self._allow_private)
            except TimeoutError:
                raise ToolError(f"arXiv did not answer within {TIME_LIMIT_S:g} s. Try again later.") from None
            finally:
                self._free_at = time.monotonic() + self._pause_s
        if page.redirect:
            raise ToolError(f"{self._url} redirects to {page.redirect}: the user may set arxiv_url to it.")
        return page.body


def _number(text: str) -> str:
    """`text` as arXiv numbers papers: also out of `arXiv:1706.03762` and of the address of a paper."""
    number = re.sub(r"^(?:https?://[^/]+/(?:abs|pdf|html)/|arxiv:)|\.pdf$", "", text.strip(), flags=re.IGNORECASE)
    if not _NUMBER.match(number):
        raise ToolError(f"{text.strip()!r} is no arXiv number. They look like 1706.03762 or hep-th/9901001.")
    return number


def _entries(feed: bytes) -> list["Element"]:
    """The papers of a feed. Raises ToolError with arXiv's word when the feed is an error, or is no feed."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(feed)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise ToolError(f"arXiv answered with something that is no feed: {type(error).__name__}.") from None
    entries: list[Element] = root.findall(f"{_ATOM}entry")
    for entry in entries:
        if "/api/errors" in _text(entry, "id"):
            raise ToolError(f"arXiv refused the request: {one_line(_text(entry, 'summary'), 300)}")
    return entries


def _paper(number: int, entry: "Element") -> str:
    authors = [one_line(author.findtext(f"{_ATOM}name") or "", 80) for author in entry.findall(f"{_ATOM}author")]
    named = ", ".join(authors[:_AUTHORS]) + (f" and {len(authors) - _AUTHORS} more" if len(authors) > _AUTHORS else "")
    links = [link.get("href", "") for link in entry.findall(f"{_ATOM}link") if link.get("title") == "pdf"]
    categories = [category.get("term", "") for category in entry.findall(f"{_ATOM}category")]
    published, updated = (_text(entry, name)[:10] for name in ("published", "updated"))
    dates = published if published == updated else f"{published}, revised {updated}"
    lines = [
        f"{number}. {one_line(_text(entry, 'title'), 300)}",
        f"URL: {one_line(_text(entry, 'id'), 300)}",
        *(f"PDF: {one_line(link, 300)}" for link in links[:1]),
        f"Authors: {named}",
        f"Date: {one_line(dates, 60)}  Categories: {one_line(', '.join(categories), 120)}",
        one_line(_text(entry, "summary"), _ABSTRACT),
    ]
    return "\n".join(lines)


def _text(entry: "Element", name: str) -> str:
    return entry.findtext(f"{_ATOM}{name}") or ""
