"""Search in the transcript: which blocks hold a text, and where it stands on the screen.

Blocks are searched as text, so that a session of any length is searched without being drawn; only what is jumped to and what is
in view is drawn. Case, line breaks and the marks of Markdown do not count.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct
from rich.style import Style
from textual.strip import Strip

from kimi_agent.frontends.tui.draw.source import block_text
from kimi_agent.frontends.tui.draw.strips import painted
from kimi_agent.frontends.tui.entries import Entry
from kimi_agent.frontends.tui.view import TranscriptView

MARKS = "*`"
_NO_MARKS = str.maketrans("", "", MARKS)
Hit: TypeAlias = tuple[int, int]
"""Number of an entry, and which occurrence in it."""


class Span(Struct, frozen=True):
    """Characters `start` to `end` of a row."""

    row: int
    start: int
    end: int


def folded(text: str) -> str:
    """`text` as it is compared."""
    return " ".join(text.lower().translate(_NO_MARKS).split())


def find_spans(rows: Sequence[str], wanted: str) -> list[list[Span]]:
    """Where a folded text occurs in drawn rows; an occurrence may go on in the next row."""
    text: list[str] = []
    places: list[tuple[int, int]] = []
    for number, row in enumerate(rows):
        for column, char in enumerate(f"{row} "):
            kept = " " if char.isspace() else "" if char in MARKS else char.lower()
            if kept == " " and text[-1:] == [" "]:
                continue
            text += kept
            places += [(number, column)] * len(kept)
    found, whole = list[list[Span]](), "".join(text)
    at = whole.find(wanted)
    while at >= 0:
        here = zip(places[at : at + len(wanted)], wanted, strict=True)
        found.append(_spans([place for place, char in here if char != " "]))
        at = whole.find(wanted, at + len(wanted))
    return found


def _spans(places: Sequence[tuple[int, int]]) -> list[Span]:
    rows: dict[int, list[int]] = {}
    for row, column in places:
        rows.setdefault(row, []).append(column)
    return [Span(row, columns[0], columns[-1] + 1) for row, columns in rows.items()]


class Marks(Struct, frozen=True):
    """What was found in these strips: how often, and by row which occurrence stands where."""

    strips: list[Strip]
    count: int
    rows: dict[int, list[tuple[int, Span]]]


def _marks(strips: list[Strip], wanted: str) -> Marks:
    found = find_spans([strip.text for strip in strips], wanted)
    rows: dict[int, list[tuple[int, Span]]] = {}
    for index, spans in enumerate(found):
        for span in spans:
            rows.setdefault(span.row, []).append((index, span))
    return Marks(strips, len(found), rows)


class Finder:
    """`position` counts from 1, 0 when nothing is found; `shown` is False when the block does not show what it holds."""

    def __init__(self, view: TranscriptView) -> None:
        self._view = view
        self._origin = view.last_in_view
        self._wanted = ""
        self._hits: list[Hit] = []
        self._current: Hit = (-1, 0)
        self._marks: dict[int, Marks] = {}  # by the identity of the entry
        self.position = 0
        self.shown = True
        view.marker = self._mark

    @property
    def count(self) -> int:
        return len(self._hits)

    def search(self, text: str) -> None:
        """Look for a text and jump to its last occurrence above the place where the search began."""
        self._wanted = folded(text)
        self._marks.clear()
        self._collect()
        self._go(max(0, bisect_left(self._hits, (self._origin + 1, 0)) - 1))

    def step(self, by: int) -> None:
        """Jump to the next (1) or previous (-1) occurrence, round the end."""
        self._collect()  # the session may have gone on
        at = bisect_left(self._hits, self._current)
        gone = at == len(self._hits) or self._hits[at] != self._current
        self._go(at if gone and by > 0 else at + by)

    def close(self) -> None:
        for entry in self._view.entries:
            entry.sought = None
        self._view.marker = None
        self._view.refresh()

    def _collect(self) -> None:
        counts = (self._text(entry).count(self._wanted) for entry in self._view.entries) if self._wanted else ()
        self._hits = [(number, nth) for number, count in enumerate(counts) for nth in range(count)]

    def _text(self, entry: Entry) -> str:
        if entry.sought is None:
            entry.sought = folded(block_text(entry.block))
        return entry.sought

    def _go(self, index: int) -> None:
        self.position, self.shown = 0, True
        if self._hits:
            self._current = number, nth = self._hits[index % len(self._hits)]
            self.position = index % len(self._hits) + 1
            expected = bisect_left(self._hits, (number + 1, 0)) - bisect_left(self._hits, (number, 0))
            found = find_spans(self._view.drawn(number), self._wanted)
            if len(found) != expected:  # some of it is folded
                found = find_spans(self._view.drawn(number, unfold=True), self._wanted)
            self.shown = bool(found)
            row = found[min(nth, len(found) - 1)][0].row if found else 0
            self._view.reveal(number, row, above=self._view.size.height // 3)
        self._view.refresh()

    def _mark(self, entry: Entry, row: int, strip: Strip) -> Strip:
        if not self._wanted or not entry.strips:
            return strip
        known = self._marks.get(id(entry))
        if known is None or known.strips is not entry.strips:
            known = self._marks[id(entry)] = _marks(entry.strips, self._wanted)
        number, nth = self._current
        here = number < len(self._view.entries) and self._view.entries[number] is entry
        current = min(nth, known.count - 1) if here else -1
        for index, span in known.rows.get(row, ()):
            strip = painted(strip, span.start, span.end, self._style(current=index == current))
        return strip

    def _style(self, *, current: bool) -> Style:
        palette = self._view.palette
        return palette.warning + (Style(reverse=True, bold=True) if current else Style(underline=True, bold=True))
