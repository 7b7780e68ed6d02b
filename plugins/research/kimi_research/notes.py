"""Notes: claims with the words that they rest on, in a file of the workspace (one JSON object per line)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.core.workspace import Stat
from kimi_agent.tools.paths import shown
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.untrusted import one_line, quoted
from kimi_research.quotes import why_not
from kimi_research.sources import Sources

MAX_QUOTE, MAX_CLAIM = 2000, 1000
"""Characters."""


class Note(Struct, frozen=True):
    """`source` is a URL, or a path as seen from the workspace; `accessed` the day (UTC) on which the quote was found there."""

    number: int
    claim: str
    quote: str
    source: str
    title: str
    accessed: str


class Notebook:
    """The file of the notes, in `folder` of the workspace."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, ctx: ToolContext) -> Path:
        return ctx.workspace.resolve(f"{self.folder}/notes.jsonl")

    async def read(self, ctx: ToolContext) -> tuple[list[Note], Stat | None]:
        """The notes and the file's state. Raises ToolError when a line is none of ours."""
        path = self.path(ctx)
        stat = await ctx.workspace.stat(path)
        data = b"" if stat is None else await ctx.workspace.read(path)
        notes = []
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                notes.append(msgspec.json.decode(line, type=Note))
            except (msgspec.DecodeError, UnicodeDecodeError):
                name = shown(path, ctx.workspace)
                raise ToolError(f"Line {number} of {name} is no note. Mend the line, or move the file away.") from None
        return notes, stat

    async def write(self, notes: Sequence[Note], stat: Stat | None, ctx: ToolContext) -> None:
        await ctx.workspace.write(self.path(ctx), b"".join(msgspec.json.encode(note) + b"\n" for note in notes), stat)


class NotesParams(Struct, frozen=True):
    action: Literal["add", "list", "remove"]
    claim: str = ""
    quote: str = ""
    source: str = ""
    title: str = ""
    number: int = 0


class Notes:
    name = "Notes"
    description = prompt(__file__)
    Params: type[Any] = NotesParams

    def __init__(self, notebook: Notebook, sources: Sources) -> None:
        self._notebook, self._sources = notebook, sources

    def effects(self, params: NotesParams, ctx: ToolContext) -> Sequence[Effect]:
        path = str(self._notebook.path(ctx))
        if params.action == "list":
            return (Effect("read", path),)
        if params.action == "remove":
            return (Effect("write", path),)
        lacking = [name for name in ("claim", "quote", "source") if not getattr(params, name).strip()]
        if lacking:
            raise ToolError(f"A note needs {' and '.join(lacking)}.")
        return (self._sources.effect(params.source.strip(), ctx), Effect("write", path))

    async def preview(self, params: NotesParams, ctx: ToolContext) -> Display:
        if params.action == "add":
            return Plain(f"{params.claim}\n“{params.quote}”\n{params.source}")
        return Plain(f"{params.action} {params.number or ''}".rstrip())

    async def run(self, params: NotesParams, ctx: ToolContext) -> ToolOutput:
        notes, stat = await self._notebook.read(ctx)
        if params.action == "list":
            listed = quoted("notes", "\n\n".join(map(_shown, notes))) if notes else "There are no notes yet."
            return text_output(listed, Plain(f"{len(notes)} notes"))
        if params.action == "remove":
            kept = [note for note in notes if note.number != params.number]
            if len(kept) == len(notes):
                raise ToolError(f"There is no note {params.number}.")
            await self._notebook.write(kept, stat, ctx)
            return text_output(f"Note {params.number} is removed.", Plain(f"removed [{params.number}]"))
        note = await self._checked(params, notes, ctx)
        await self._notebook.write([*notes, note], stat, ctx)
        return text_output(
            f"Note {note.number}: the quote is in the source. Cite it as [{note.number}].", Plain(_shown(note))
        )

    async def _checked(self, params: NotesParams, notes: Sequence[Note], ctx: ToolContext) -> Note:
        """The new note. Raises ToolError when its source does not hold its quote."""
        if len(params.quote) > MAX_QUOTE or len(params.claim) > MAX_CLAIM:
            raise ToolError(f"A quote has at most {MAX_QUOTE} characters, a claim {MAX_CLAIM}: make several notes.")
        text, source = await self._sources.text(params.source.strip(), ctx)
        if problem := why_not(params.quote, text):
            raise ToolError(
                f"The quote does not stand in {source}: {problem}. Copy it word for word from what the source says, or "
                "drop the claim."
            )
        number = max((note.number for note in notes), default=0) + 1
        claim, quote = one_line(params.claim, MAX_CLAIM), one_line(params.quote, MAX_QUOTE)
        return Note(number, claim, quote, source, one_line(params.title, 300), datetime.now(UTC).date().isoformat())


def _shown(note: Note) -> str:
    title = f"{note.title}, " if note.title else ""
    return f"[{note.number}] {note.claim}\n“{note.quote}”\n{title}{note.source} ({note.accessed})"
