"""ReadDocument: some pages, slides, sections, notebook cells, or a range of a sheet."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.documents import MAX_BYTES
from kimi_agent.tools.paths import missing, shown
from kimi_agent.tools.prompts import prompt
from kimi_documents.kinds import KINDS, LEGACY, read, refusal
from kimi_documents.part import Part

MAX_CHARS = 100_000
"""Characters of one answer."""


class ReadDocumentParams(Struct, frozen=True):
    path: str
    pages: Annotated[
        str, Meta(description="`3`, `1-5` or `7-`: pages; of Word sections, of PowerPoint slides, of notebooks cells")
    ] = ""
    sheet: Annotated[str, Meta(description="Name of a sheet (Excel)")] = ""
    cells: Annotated[str, Meta(description="`B4` or `A1:D20` (Excel)")] = ""


class ReadDocument:
    name = "ReadDocument"
    description = prompt(__file__)
    Params: type[Any] = ReadDocumentParams

    def effects(self, params: ReadDocumentParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("read", str(ctx.workspace.resolve(params.path))),)

    async def preview(self, params: ReadDocumentParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: ReadDocumentParams, ctx: ToolContext) -> ToolOutput:
        path = ctx.workspace.resolve(params.path)
        name = shown(path, ctx.workspace)
        part = _part(params, path)
        if (stat := await ctx.workspace.stat(path)) is None:
            raise await missing(path, ctx.workspace)
        if stat.size > MAX_BYTES:
            raise ToolError(f"{name} has {stat.size:,} bytes; documents of up to {MAX_BYTES:,} are read.")
        try:
            text = plain(await read(path.suffix.lower(), await ctx.workspace.read(path, MAX_BYTES), part))
        except ToolError as error:
            raise ToolError(f"{name}: {error}") from None
        if len(text) > MAX_CHARS:
            end = text.rfind("\n", MAX_CHARS // 2, MAX_CHARS) + 1 or MAX_CHARS
            text = f"{text[:end]}\n[{end:,} of {len(text):,} characters: ask for fewer {_unit(path)}]"
        return text_output(text, Plain(f"{len(text):,} characters of {name}"))


def _part(params: ReadDocumentParams, path: Path) -> Part:
    """Raises ToolError for what is no document, and for a part that this kind of document does not have."""
    suffix = path.suffix.lower()
    if suffix in LEGACY:
        raise refusal(suffix)
    if suffix not in KINDS:
        raise ToolError(f"{path.name} is not one of {', '.join(KINDS)}. Read text with ReadFile.")
    excel = KINDS[suffix] == "xlsx"
    if excel and params.pages:
        raise ToolError("An Excel file has no pages: give sheet and cells.")
    if not excel and (params.sheet or params.cells):
        raise ToolError(f"sheet and cells are for Excel files: give pages ({_unit(path)}).")
    part = Part(params.pages, params.sheet, params.cells)
    if part.cell_range and not part.sheet:
        raise ToolError("Say of which sheet the cells are.")
    part.page_range  # noqa: B018 - raises for what is no range
    return part


def _unit(path: Path) -> str:
    units = {
        "pdf": "pages",
        "docx": "sections",
        "xlsx": "cells of one sheet",
        "pptx": "slides",
        "ipynb": "notebook cells",
    }
    return units[KINDS[path.suffix.lower()]]
