"""A unified diff as numbered, coloured lines: one below the other, or the old and the new side beside each other."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.segment import Segment
from rich.text import Text

from kimi_agent.frontends.common.look import Diffs
from kimi_agent.frontends.tui.draw.changed import ALIKE, Pair, compare, pairs
from kimi_agent.frontends.tui.draw.code import highlight, language_of
from kimi_agent.frontends.tui.draw.lines import Absent, Decor, Divider, Line, fill, fold, indent
from kimi_agent.frontends.tui.draw.palette import NO_STYLE, Palette

WIDE = 120
"""Cells from which on a diff is drawn side by side, unless the person has chosen."""
NARROW = 50
"""Cells below which it never is."""
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@ ?(.*)")


@dataclass(slots=True)
class Hunk:
    """`rows` are (sign, text); the sign is a blank, `+`, `-` or a backslash (a remark of diff itself)."""

    old: int
    new: int
    rows: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """A line of a diff. `old` and `new` are its numbers on either side."""

    sign: str
    old: int
    new: int
    text: Text


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


def diff_lines(unified: str, path: str, width: int, palette: Palette, diffs: Diffs = "auto") -> list[Line]:
    """`unified` must already be safe to show. Every line of it is drawn, long ones wrapped.

    What only adds or only removes is drawn in one column, whatever `diffs` says.
    """
    hunks = parse_unified(unified)
    language = language_of(path)
    last = max((max(hunk.old, hunk.new) + len(hunk.rows) for hunk in hunks), default=1)
    pen = _Pen(width, max(3, len(str(last))), palette)
    signs = {sign for hunk in hunks for sign, _ in hunk.rows}
    beside = (diffs == "side-by-side" and width >= NARROW) or (diffs == "auto" and width >= WIDE)
    draw = pen.beside if beside and {"+", "-"} <= signs else pen.unified
    lines: list[Line] = []
    for hunk in hunks:
        if lines:
            lines.append([Decor(" " * (pen.digits - 1) + "⋯", palette.faint)])
        lines += draw(_rows(hunk, language, palette))
    return lines


@dataclass(frozen=True, slots=True)
class _Pen:
    width: int
    digits: int
    palette: Palette

    def unified(self, rows: Sequence[Row]) -> Iterator[Line]:
        for row in rows:
            yield from self.cell(row, row.old if row.sign == "-" else row.new, self.width)

    def cell(self, row: Row, number: int, width: int) -> list[Line]:
        """A line with its number and sign, as many lines high as it needs."""
        palette = self.palette
        grounds = {"+": palette.added_bg, "-": palette.removed_bg}
        signs = {"+": palette.success, "-": palette.error}
        mark = Decor(f" {row.sign} " if row.sign in signs else "   ", signs.get(row.sign, NO_STYLE))
        body = indent(fold(row.text, max(8, width - self.digits - 3)), mark, Decor("   "))
        if row.sign in grounds:
            body = fill(body, width - self.digits, grounds[row.sign])
        told = "" if row.sign == "\\" else str(number)
        return indent(body, Decor(told.rjust(self.digits), palette.faint), Decor(" " * self.digits))

    def beside(self, rows: Sequence[Row]) -> Iterator[Line]:
        half = (self.width - 2) // 2
        for old, new in _side_by_side(rows):
            left = self.cell(old, old.old, half) if old else []
            right = self.cell(new, new.new, half) if new else []
            height = max(len(left), len(right))
            for one, other in zip(self.column(left, height, half), self.column(right, height, half), strict=True):
                yield [*one, Divider(" │", self.palette.faint), *other]

    def column(self, lines: list[Line], height: int, width: int) -> list[Line]:
        blank: Segment = Absent(" " * width)
        return [*fill(lines, width, NO_STYLE), *([blank] for _ in range(height - len(lines)))]


def _side_by_side(rows: Sequence[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    at = 0
    while at < len(rows):
        row = rows[at]
        if row.sign == " ":
            yield row, row
            at += 1
        elif row.sign == "\\":
            before = rows[at - 1].sign if at else " "
            yield None if before == "+" else row, None if before == "-" else row
            at += 1
        else:
            removed, added = _change(rows, at)
            for i, j in pairs([row.text.plain for row in removed], [row.text.plain for row in added]):
                yield None if i is None else removed[i], None if j is None else added[j]
            at += len(removed) + len(added)


def _change(rows: Sequence[Row], at: int) -> tuple[Sequence[Row], Sequence[Row]]:
    """The removed lines from `at` on, and the added ones right below them."""
    middle = at
    while middle < len(rows) and rows[middle].sign == "-":
        middle += 1
    end = middle
    while end < len(rows) and rows[end].sign == "+":
        end += 1
    return rows[at:middle], rows[middle:end]


def _rows(hunk: Hunk, language: str, palette: Palette) -> list[Row]:
    """The lines of a hunk with syntax colours, the changed words of changed lines marked."""
    rows: list[Row] = []
    old, new = hunk.old, hunk.new
    for (sign, _), text in zip(hunk.rows, _coloured(hunk, language, palette), strict=True):
        rows.append(Row(sign, old, new, text))
        old += sign in " -"
        new += sign in " +"
    at = 0
    while at < len(rows):
        removed, added = _change(rows, at)
        if removed and added:
            _mark_words(removed, added, palette)
        at += max(1, len(removed) + len(added))
    return rows


def _mark_words(removed: Sequence[Row], added: Sequence[Row], palette: Palette) -> None:
    beside: list[Pair] = pairs([row.text.plain for row in removed], [row.text.plain for row in added])
    for i, j in beside:
        if i is None or j is None:
            continue
        words = compare(removed[i].text.plain, added[j].text.plain)
        if words.alike < ALIKE:
            continue
        for start, end in words.removed:
            removed[i].text.stylize(palette.removed_word, start, end)
        for start, end in words.added:
            added[j].text.stylize(palette.added_word, start, end)


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
