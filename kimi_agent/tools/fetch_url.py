"""FetchURL: what stands at a URL, as text."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.charset import page_text
from kimi_agent.tools.net import MAX_PAGE_BYTES, parse_url
from kimi_agent.tools.output import spill_path

if TYPE_CHECKING:
    from kimi_agent.tools.http_get import Page

TIME_LIMIT_S = 30.0
_PAGE_CHARS = 40_000
_TEXTUAL = re.compile(
    r"text/|application/(?:.*\+)?(?:json|xml|yaml|x-yaml|toml|javascript|ecmascript|x-ndjson|x-sh|sql)\b"
)


class FetchURLParams(msgspec.Struct, frozen=True):
    url: str


class FetchURL:
    """`allow_private` lets it reach this machine and its network; otherwise only the public net.

    `time_limit_s` (seconds) is for everything together: names, connections, redirects, transfer and reading.
    """

    name = "FetchURL"
    description = Path(__file__).with_suffix(".md").read_text("utf-8").strip()
    Params = FetchURLParams

    def __init__(self, allow_private: bool = False, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._allow_private = allow_private
        self._time_limit_s = time_limit_s

    def effects(self, params: FetchURLParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("fetch", parse_url(params.url).url),)

    async def preview(self, params: FetchURLParams, ctx: ToolContext) -> Display:
        return Plain(params.url)

    async def run(self, params: FetchURLParams, ctx: ToolContext) -> ToolOutput:
        page, text = await fetch_text(params.url, self._allow_private, self._time_limit_s)
        if page.redirect:
            text = f"{page.url} redirects to another site. Fetch that one to go on: {page.redirect}"
            return text_output(text, Plain(f"redirects to {page.redirect}"))
        return _answer(page, ctx.redactor.text(text), spill_path(ctx.scratch, "fetch", ctx.call_id))


async def fetch_text(url: str, allow_private: bool, time_limit_s: float = TIME_LIMIT_S) -> tuple["Page", str]:
    """What stands at `url`, and it as text; no text when it redirects to another site.

    Raises ToolError when there is no text to be had in time.
    """
    from kimi_agent.tools.http_get import get  # urllib and ssl are slow to load

    try:
        async with asyncio.timeout(time_limit_s):
            page = await get(url, allow_private=allow_private)
            return page, "" if page.redirect else plain(await _text_of(page))
    except TimeoutError:
        raise ToolError(f"{url} took longer than {time_limit_s:g} s.") from None


def _answer(page: "Page", text: str, whole: Path) -> ToolOutput:
    notes = [f"only the first {MAX_PAGE_BYTES // 1_000_000} MB of the page were read"] if page.truncated else []
    shown = text
    if len(text) > _PAGE_CHARS:
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_text(text, "utf-8", "replace")
        shown = text[: text.rfind("\n", _PAGE_CHARS // 2, _PAGE_CHARS) + 1 or _PAGE_CHARS]
        notes.append(
            f"{len(shown):,} of {len(text):,} characters; the whole is in {whole}: Grep it or read parts of it"
        )
    lines = [page.url, "", shown.strip() or "[the page holds no text]", *(f"[{note}]" for note in notes)]
    return text_output("\n".join(lines), Plain(f"{len(text):,} characters"))


async def _text_of(page: "Page") -> str:
    from kimi_agent.tools.extract import extract

    kind = page.content_type.partition(";")[0].strip().lower()
    if kind == "application/pdf" or page.body.startswith(b"%PDF-"):
        if page.truncated:
            raise ToolError(
                f"{page.url} is a PDF of more than {MAX_PAGE_BYTES // 1_000_000} MB: download it with Shell."
            )
        return await extract("pdf", page.body, page.url)
    if kind in ("text/html", "application/xhtml+xml") or (not kind and page.body.lstrip()[:1] == b"<"):
        return await extract("html", page_text(page.body, page.content_type).encode("utf-8", "replace"), page.url)
    if _TEXTUAL.match(kind) or (kind in ("", "application/octet-stream") and b"\0" not in page.body):
        return page_text(page.body, page.content_type)
    raise ToolError(
        f"{page.url} is {kind or 'binary data'}, not text: download it with Shell (curl -o) if it is needed."
    )
