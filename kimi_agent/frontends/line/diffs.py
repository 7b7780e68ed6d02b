"""A change in a terminal's own colours: numbered lines, syntax colours, and the words of a line that changed underlined."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import dropwhile

from rich.text import Text

from kimi_agent.core.display import Diff
from kimi_agent.core.sanitize import plain

LONGEST_LINE = 400
"""Characters; a longer line is not compared word by word."""
MOSTLY = 0.5
"""Lines that are less alike than this are other lines, not changed ones."""
LONGEST_CODE = 50_000
"""Characters of a hunk; more is shown without syntax colours."""

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_WORDS = re.compile(r"\w+|\s+|.")
_SIGN_STYLES = {"+": "green", "-": "red"}


@dataclass(slots=True)
class _Row:
    """`sign` is a blank, `+`, `-`, or a backslash (a remark of diff itself)."""

    sign: str
    number: int
    text: str
    marks: list[tuple[int, int]] = field(default_factory=list)


def drawn_diff(diff: Diff, limit: int) -> tuple[list[Text], int]:
    """The first `limit` lines of the change, hunks apart by a line of dots, and how many lines are left out."""
    rows = list(dropwhile(lambda row: not row.startswith("@@"), plain(diff.unified).rstrip("\n").split("\n")))
    hidden = max(0, len(rows) - limit)
    hunks = list(_hunks(rows[:limit]))
    digits = max((len(str(row.number)) for hunk in hunks for row in hunk), default=1)
    lines: list[Text] = []
    for hunk in hunks:
        if lines:
            lines.append(Text(f"  {'...':>{digits}}", "dim"))
        _mark_changed_words(hunk)
        for row, code in zip(hunk, _code(hunk, diff.path), strict=True):
            number = "" if row.sign == "\\" else str(row.number)
            for start, end in row.marks:
                code.stylize("bold underline", start, end)
            sign = (f"{row.sign} ", _SIGN_STYLES.get(row.sign, ""))
            lines.append(Text.assemble((f"  {number:>{digits}} ", "dim"), sign, code))
    return lines, hidden


def _hunks(lines: list[str]) -> Iterator[list[_Row]]:
    rows: list[_Row] = []
    old = new = 0
    for line in lines:
        if match := _HUNK.match(line):
            if rows:
                yield rows
            rows, old, new = [], int(match[1]), int(match[2])
        elif (old, new) != (0, 0) and line[:1] in (" ", "+", "-", "\\", ""):
            sign = line[:1] or " "
            rows.append(_Row(sign, old if sign == "-" else new, line[1:].expandtabs(4)))
            old += sign in " -"
            new += sign in " +"
    if rows:
        yield rows


def _mark_changed_words(rows: list[_Row]) -> None:
    """In a run of removed lines that added ones follow, what differs within each pair."""
    at = 0
    while at < len(rows):
        removed = _run(rows, at, "-")
        added = _run(rows, at + len(removed), "+")
        for one, other in zip(removed, added, strict=False):
            _mark_pair(one, other)
        at += len(removed) + len(added) or 1


def _run(rows: list[_Row], start: int, sign: str) -> list[_Row]:
    end = start
    while end < len(rows) and rows[end].sign == sign:
        end += 1
    return rows[start:end]


def _mark_pair(old: _Row, new: _Row) -> None:
    if max(len(old.text), len(new.text)) > LONGEST_LINE:
        return
    before, after = _WORDS.findall(old.text), _WORDS.findall(new.text)
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < MOSTLY:
        return
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind != "equal":
            old.marks += _range(before, a, b)
            new.marks += _range(after, c, d)


def _range(words: list[str], start: int, end: int) -> list[tuple[int, int]]:
    first = len("".join(words[:start]))
    return [(first, first + len("".join(words[start:end])))] if end > start else []


def _code(rows: list[_Row], path: str) -> list[Text]:
    """The rows' texts with syntax colours; the old and the new side are each one piece of code."""
    sides = {sign: iter(_side(rows, sign, path)) for sign in "-+"}
    texts: list[Text] = []
    for row in rows:
        if row.sign == "\\":
            texts.append(Text(row.text, "dim"))
            continue
        text = next(sides["-" if row.sign == "-" else "+"])
        if row.sign == " ":
            next(sides["-"])
        texts.append(text)
    return texts


def _side(rows: list[_Row], sign: str, path: str) -> list[Text]:
    from rich.syntax import Syntax

    lines = [row.text for row in rows if row.sign in (" ", sign)]
    code = "\n".join(lines)
    if len(code) > LONGEST_CODE:
        return [Text(line, _SIGN_STYLES[sign]) for line in lines]
    lexer = Syntax.guess_lexer(path)
    if lexer == "default":
        plain_style = [_SIGN_STYLES[row.sign] if row.sign == sign else "" for row in rows if row.sign in (" ", sign)]
        return [Text(line, style) for line, style in zip(lines, plain_style, strict=True)]
    syntax = Syntax(code, lexer, theme="ansi_dark", background_color="default")
    coloured = list(syntax.highlight(code).split("\n", allow_blank=True))[: len(lines)]
    return coloured if len(coloured) == len(lines) else [Text(line) for line in lines]
