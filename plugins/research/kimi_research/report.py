"""Report: a Markdown file whose citations all lead to a note, and with it to a source that was read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from kimi_agent.core.display import Diff
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.core.workspace import Stat
from kimi_agent.tools.diff import diff_of
from kimi_agent.tools.paths import shown
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.untrusted import one_line
from kimi_research.notes import Note, Notebook
from kimi_research.sources import is_url

_MARK = re.compile(r"\[(\d+(?:\s*[,;]\s*\d+)*)\]")


class ReportParams(Struct, frozen=True):
    title: str
    body: str
    path: str = ""


class Report:
    """Replaces only files that it wrote itself in this session."""

    name = "Report"
    description = prompt(__file__)
    Params: type[Any] = ReportParams

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook
        self._written: dict[Path, Stat] = {}

    def effects(self, params: ReportParams, ctx: ToolContext) -> Sequence[Effect]:
        notes, report = self._notebook.path(ctx), self._path(params, ctx)
        return (Effect("read", str(notes)), Effect("write", str(report)))

    async def preview(self, params: ReportParams, ctx: ToolContext) -> Diff:
        return (await self._plan(params, ctx))[1]

    async def run(self, params: ReportParams, ctx: ToolContext) -> ToolOutput:
        text, diff, cited = await self._plan(params, ctx)
        path = self._path(params, ctx)
        self._written[path] = await ctx.workspace.write(path, text.encode("utf-8", "replace"), self._written.get(path))
        name = shown(path, ctx.workspace)
        return text_output(f"Wrote {name}: {len(cited)} sources, and every citation leads to one.", diff)

    def _path(self, params: ReportParams, ctx: ToolContext) -> Path:
        slug = re.sub(r"\W+", "-", params.title.lower()).strip("-")[:60] or "report"
        return ctx.workspace.resolve(params.path or f"{self._notebook.folder}/{slug}.md")

    async def _plan(self, params: ReportParams, ctx: ToolContext) -> tuple[str, Diff, Sequence[Note]]:
        """The file's text, the change, the notes that are cited. Raises ToolError when the report cannot be written so."""
        path = self._path(params, ctx)
        if await ctx.workspace.stat(path) is not None and path not in self._written:
            raise ToolError(f"{shown(path, ctx.workspace)} exists already: give the report another path.")
        notes, _ = await self._notebook.read(ctx)
        cited = resolve(params.body, {note.number: note for note in notes})
        old = (await ctx.workspace.read(path)).decode("utf-8", "replace") if path in self._written else ""
        text = plain(_document(params, cited))
        return text, diff_of(str(path), old, text, created=path not in self._written), cited


def resolve(body: str, notes: Mapping[int, Note]) -> list[Note]:
    """The notes that the text cites, by number. Raises ToolError that names the marks without one."""
    numbers = list(dict.fromkeys(citations(body)))
    if lost := [f"[{number}]" for number in numbers if number not in notes]:
        known = ", ".join(f"[{number}]" for number in notes) or "none"
        raise ToolError(
            f"No note stands behind {', '.join(lost)}. Notes: {known}. Add the note with its quote, or drop the claim."
        )
    if not numbers:
        raise ToolError("The report cites nothing: mark each claim with the number of its note, such as [1].")
    return [notes[number] for number in sorted(numbers)]


def citations(body: str) -> Iterator[int]:
    """The numbers in the marks of a Markdown text, in order; code and the texts of links hold none."""
    from markdown_it import MarkdownIt

    for block in MarkdownIt("commonmark").enable("table").parse(body):
        links = 0
        for token in block.children or ():
            links += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            if token.type == "text" and not links:
                for mark in _MARK.finditer(token.content):
                    yield from map(int, re.findall(r"\d+", mark[1]))


def _document(params: ReportParams, cited: Sequence[Note]) -> str:
    title = one_line(params.title, 200)
    body = params.body.strip().removeprefix(f"# {title}").strip()
    return "\n".join([f"# {title}", "", body, "", "## Sources", "", *map(_source, cited), ""])


def _source(note: Note) -> str:
    """One line of the list: the number stands in it as text, since Markdown would count anew."""
    place = f"<{_escaped(note.source)}>" if is_url(note.source) else f"`{note.source.replace('`', '')}`"
    title = f"{_escaped(note.title)}, " if note.title else ""
    return f"- \\[{note.number}\\] {title}{place}, read {note.accessed}: “{_escaped(note.quote)}”"


def _escaped(text: str) -> str:
    """`text` from a page, which must not become links or HTML of the report."""
    return text.replace("<", "%3C").replace(">", "%3E") if is_url(text) else re.sub(r"([\\`*_\[\]<>!])", r"\\\1", text)
