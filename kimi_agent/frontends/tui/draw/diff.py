"""A unified diff as numbered, coloured lines."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.segment import Segment
from rich.text import Text

from kimi_agent.frontends.tui.draw.code import highlight, language_of
from kimi_agent.frontends.tui.draw.lines import Line, fill, fold, indent
from kimi_agent.frontends.tui.draw.palette import Palette

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)")


@dataclass(slots=True)
class Hunk:
    """`rows` are (sign, text); the sign is a blank, `+`, `-` or a backslash (a remark of diff itself)."""

    old: int
    new: int
    rows: list[tuple[str, str]] = field(default_factory=list)


def parse_unified(unified: str) -> list[Hunk]:
    """The hunks of one file's unified diff; text before the first hunk (the file names) is left out."""
    hunks: list[Hunk] = []
    for line in unified.rstrip("\n").split("\n"):
        if match := _HUNK.match(line):
            hunks.append(Hunk(int(match[1]), int(match[2])))
        elif hunks and line[:1] in (" ", "+", "-", "\\"):
            hunks[-1].rows.append((line[0], line[1:]))
        elif hunks and not line:
            hunks[-1].rows.append((" ", ""))
    return hunks


def diff_lines(unified: str, path: str, width: int, palette: Palette) -> list[Line]:
    """`unified` must already be safe to show. Every line of it is drawn, long ones wrapped."""
    hunks = parse_unified(unified)
    language = language_of(path)
    last = max((max(hunk.old, hunk.new) + len(hunk.rows) for hunk in hunks), default=1)
    digits = max(3, len(str(last)))
    lines: list[Line] = []
    for hunk in hunks:
        if lines:
            lines.append([Segment(" " * (digits - 1) + "⋯", palette.faint)])
        lines += _hunk_lines(hunk, language, width, digits, palette)
    return lines


def _hunk_lines(hunk: Hunk, language: str, width: int, digits: int, palette: Palette) -> Iterator[Line]:
    coloured = _coloured(hunk, language, palette)
    grounds = {"+": palette.added_bg, "-": palette.removed_bg}
    signs = {"+": palette.success, "-": palette.error}
    old, new = hunk.old, hunk.new
    for (sign, _), text in zip(hunk.rows, coloured, strict=True):
        number = "" if sign == "\\" else str(old if sign == "-" else new)
        body = fold(text, max(8, width - digits - 3))
        mark = Segment(f" {sign} ", signs[sign]) if sign in signs else Segment("   ")
        body = indent(body, mark, Segment("   "))
        body = fill(body, width - digits, grounds[sign]) if sign in grounds else body
        yield from indent(body, Segment(number.rjust(digits), palette.faint))
        old += sign in " -"
        new += sign in " +"


def _coloured(hunk: Hunk, language: str, palette: Palette) -> list[Text]:
    """The rows' texts with syntax colours, old and new side each highlighted as one piece of code."""
    sides = {sign: iter(_side(hunk, sign, language, palette)) for sign in "-+"}
    texts: list[Text] = []
    for sign, raw in hunk.rows:
        if sign == "\\":
            texts.append(Text(f"\\{raw}", palette.muted))
            continue
        text = next(sides["-" if sign == "-" else "+"])
        if sign == " ":
            next(sides["-"])
        texts.append(text)
    return texts


def _side(hunk: Hunk, sign: str, language: str, palette: Palette) -> list[Text]:
    rows = [text for kind, text in hunk.rows if kind in (" ", sign)]
    whole = highlight("\n".join(rows), language, palette)
    texts = list(whole.split("\n", allow_blank=True))
    return texts if len(texts) == len(rows) else [Text(row, palette.text) for row in rows]
