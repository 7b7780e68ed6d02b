"""StrReplaceFile: exact replacements in one text file, all of them or none."""

from bisect import bisect_right
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field

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


class _Result(Struct):
    text: str
    starts: list[int] = field(default_factory=list)  # where the replacements begin, in `text`
    notes: list[str] = field(default_factory=list)

    def replace(self, spans: tuple[Span, ...]) -> None:
        pieces: list[str] = []
        at, shifts = 0, [0]  # how far the text after each span moves
        for span in spans:
            pieces += (self.text[at : span.start], span.new)
            at = span.end
            shifts.append(shifts[-1] + len(span.new) - (span.end - span.start))
        ends = [span.end for span in spans]
        moved = [start + shifts[bisect_right(ends, start)] for start in self.starts]
        self.starts = moved + [span.start + shift for span, shift in zip(spans, shifts, strict=False)]
        self.text = "".join((*pieces, self.text[at:]))

    def line_numbers(self) -> list[int]:
        numbers: list[int] = []
        at, number = 0, 1
        for start in sorted(self.starts):
            number += self.text.count("\n", at, start)
            at = start
            if numbers[-1:] != [number]:
                numbers.append(number)
        return numbers


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
    lines = result.line_numbers()
    listed = ", ".join(map(str, lines[:20])) + (f" and {len(lines) - 20} more" if len(lines) > 20 else "")
    count = len(result.starts)
    made = f"{count} replacement{'s' if count != 1 else ''} at line{'s' if len(lines) != 1 else ''} {listed}"
    return "\n".join([f"Edited {name}: {made}.", *(f"Note: {note}." for note in result.notes)])
