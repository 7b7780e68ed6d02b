"""StrReplaceFile: exact replacements in one text file, all of them or none."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.diff import diff_of
from kimi_agent.tools.editing import EditTool, target_name
from kimi_agent.tools.known_files import Change
from kimi_agent.tools.match import NoMatch, Span, place
from kimi_agent.tools.paths import missing
from kimi_agent.tools.prompts import prompt
from kimi_agent.tools.textfile import Encoding, decode


class Edit(Struct, frozen=True):
    old: str
    new: str
    replace_all: bool = False


class StrReplaceFileParams(Struct, frozen=True):
    path: str
    edit: Annotated[Edit | list[Edit], Meta(description="One edit, or several that are applied in order")]


class StrReplaceFile(EditTool):
    name = "StrReplaceFile"
    description = prompt(__file__)
    Params: type[Any] = StrReplaceFileParams

    async def plan(self, params: StrReplaceFileParams, path: Path, ctx: ToolContext) -> Change:
        edits = params.edit if isinstance(params.edit, list) else [params.edit]
        if not edits:
            raise ToolError("`edit` is an empty list: there is nothing to change.")
        stat, data = await self.current(path, ctx.workspace)
        if stat is None:
            raise await missing(path, ctx.workspace)
        name = target_name(params.path, path, ctx.workspace)
        file = decode(data, name)
        result = _apply(file.text, edits, file.encoding, name)
        if result.text == file.text:
            raise ToolError(f"The edits undo one another: {name} would stay as it is.")
        diff = diff_of(str(path), file.text, result.text)
        return Change(path, stat, data, file.encode(result.text), diff, _summary(name, result))


@dataclass(slots=True)
class _Result:
    text: str
    starts: list[int] = field(default_factory=list)  # where the replacements begin, in `text`
    notes: list[str] = field(default_factory=list)

    def replace(self, spans: tuple[Span, ...]) -> None:
        pieces: list[str] = []
        at = shift = 0
        new_starts: list[int] = []
        for span in spans:
            pieces += (self.text[at : span.start], span.new)
            new_starts.append(span.start + shift)
            at, shift = span.end, shift + len(span.new) - (span.end - span.start)
        moved = [_moved(start, spans) for start in self.starts]
        self.text = "".join((*pieces, self.text[at:]))
        self.starts = moved + new_starts


def _moved(position: int, spans: tuple[Span, ...]) -> int:
    return position + sum(len(span.new) - (span.end - span.start) for span in spans if span.end <= position)


def _apply(text: str, edits: list[Edit], encoding: Encoding, name: str) -> _Result:
    """Raises ToolError that names every edit which cannot be made; then none is."""
    result = _Result(text)
    failures: list[str] = []
    for number, edit in enumerate(edits, 1):
        label = f"Edit {number} of {len(edits)}: " if len(edits) > 1 else ""
        try:
            placed = place(result.text, edit.old, edit.new, replace_all=edit.replace_all)
            encoding.encode_new(edit.new)
        except (NoMatch, ToolError) as error:
            failures.append(f"{label}{error}")
            continue
        result.replace(placed.spans)
        if placed.note:
            result.notes.append(label + placed.note)
    if failures:
        raise ToolError("\n".join([f"{name} was not changed.", *failures]))
    return result


def _summary(name: str, result: _Result) -> str:
    lines = sorted({result.text.count("\n", 0, start) + 1 for start in result.starts})
    listed = ", ".join(map(str, lines[:20])) + (f" and {len(lines) - 20} more" if len(lines) > 20 else "")
    count = len(result.starts)
    made = f"{count} replacement{'s' if count != 1 else ''} at line{'s' if len(lines) != 1 else ''} {listed}"
    return "\n".join([f"Edited {name}: {made}.", *(f"Note: {note}." for note in result.notes)])
