"""What a note may rest on: a web page, or a file of the workspace. Both are read here to see whether a quote is in them."""

from collections.abc import Mapping
from pathlib import Path

from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.reader import Reader
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.documents import Documents
from kimi_agent.tools.fetch_url import fetch_text
from kimi_agent.tools.net import parse_url
from kimi_agent.tools.paths import missing, shown
from kimi_agent.tools.textfile import decode

MAX_BYTES = 16 << 20
"""Bytes of a text file."""
_KEPT = 8
"""Pages that are kept: several notes usually rest on one page."""


class Sources:
    def __init__(self, readers: Mapping[str, Reader], *, allow_private: bool) -> None:
        self._documents, self._allow_private = Documents(readers), allow_private
        self._pages: dict[str, str] = {}

    def effect(self, source: str, ctx: ToolContext) -> Effect:
        return Effect("fetch", parse_url(source).url) if is_url(source) else Effect("read", str(_path(source, ctx)))

    async def text(self, source: str, ctx: ToolContext) -> tuple[str, str]:
        """What stands in a source, and what the source is called in a list. Raises ToolError when it cannot be read."""
        return await self._page(parse_url(source).url) if is_url(source) else await self._file(source, ctx)

    async def _page(self, url: str) -> tuple[str, str]:
        if url not in self._pages:
            page, text = await fetch_text(url, self._allow_private)
            if page.redirect:
                raise ToolError(f"{url} redirects to {page.redirect}: fetch that, and take it as the source.")
            self._pages[url] = text
            while len(self._pages) > _KEPT:
                del self._pages[next(iter(self._pages))]
        return self._pages[url], url

    async def _file(self, source: str, ctx: ToolContext) -> tuple[str, str]:
        path, workspace = _path(source, ctx), ctx.workspace
        name, stat = shown(path, workspace), await workspace.stat(path)
        if stat is None:
            raise await missing(path, workspace)
        if self._documents.reads(path):
            return await self._documents.text(workspace, path, stat, name), name
        if stat.size > MAX_BYTES:
            raise ToolError(f"{name} has {stat.size:,} bytes; files of up to {MAX_BYTES:,} can be quoted.")
        return decode(await workspace.read(path), name).text, name


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _path(source: str, ctx: ToolContext) -> Path:
    return ctx.workspace.resolve(source)
