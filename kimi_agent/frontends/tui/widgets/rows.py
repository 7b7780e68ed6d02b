"""The rows of a listing in columns. Only what is in sight is drawn, so that a long list is as quick as a short one."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kimi_agent.core.listing import Row
from kimi_agent.frontends.common.listing import Choice, matches
from kimi_agent.frontends.tui.draw.lines import Line, clip, segments
from kimi_agent.frontends.tui.draw.palette import Palette

BOLD, UNDERLINE = Style(bold=True), Style(underline=True)
MARKER, GAP = 2, 2
MAX_MARK, BAR, PERCENT, LABEL = 12, 10, 4, 12
BAD_MARKS = ("failed", "broken")
BAR_FROM = 56
"""Cells from which a share is a bar, too; below it is a percentage alone."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells that each column takes, 0 for one that is left out. What remains of the line is the description's."""

    label: int
    mark: int
    bar: int
    percent: int


def columns(rows: Sequence[Row], width: int) -> Columns:
    """The columns of rows in `width` cells; in a narrow one the labels keep their room, shares go first, then marks."""
    longest = max((cell_len(row.label) for row in rows), default=0)
    mark = min(MAX_MARK, max((cell_len(row.mark) for row in rows), default=0))
    shares = any(row.share is not None for row in rows)
    bar, percent = BAR if shares and width >= BAR_FROM else 0, PERCENT if shares else 0
    wanted = min(longest, LABEL)
    if width - MARKER - _taken(mark, percent) < wanted:
        percent = 0
    if width - MARKER - _taken(mark, percent) < wanted:
        mark = 0
    room = max(1, width - MARKER - _taken(mark, bar, percent))
    described = room >= 2 * LABEL and any(row.description for row in rows)
    if described:
        about = max(cell_len(row.description) for row in rows)
        room = max(room * 3 // 5, room - about) - GAP
    return Columns(min(longest, room), mark, bar, percent)


def _taken(*cells: int) -> int:
    return sum(each + GAP for each in cells if each)


def row_line(row: Row, cells: Columns, width: int, palette: Palette, words: Sequence[str], chosen: bool) -> Line:
    """One row, exactly `width` cells wide."""
    label = palette.primary + BOLD if chosen else palette.text
    line = Text("❯ " if chosen else "  ", palette.primary)
    line.append_text(_marked(row.label, cells.label, label, palette, words))
    if cells.mark:
        line.append_text(_cell(row.mark, cells.mark, palette.error if row.mark in BAD_MARKS else palette.accent))
    if cells.bar:
        full = 0 if row.share is None else min(BAR, max(int(row.share > 0), round(row.share * BAR)))
        line.append(" " * GAP).append("━" * full, palette.primary)
        line.append(("─" if row.share is not None else " ") * (BAR - full), palette.faint)
    if cells.percent:
        share = "" if row.share is None else "<1%" if 0 < row.share < 0.005 else f"{row.share:.0%}"
        line.append(" " * (GAP + cells.percent - len(share))).append(share, palette.muted)
    line.append(" " * GAP)
    room = width - line.cell_len
    if room > 0:
        line.append_text(_marked(row.description, room, palette.muted, palette, words))
    line.truncate(width, pad=True)
    ground = palette.prompt_bg if chosen else Style.null()
    return [Segment(s.text, ground + (s.style or Style.null())) for s in segments(line)]


def _cell(text: str, cells: int, style: Style) -> Text:
    shown = clip(text, cells)
    return Text(" " * GAP).append(shown, style).append(" " * (cells - cell_len(shown)))


def _marked(text: str, cells: int, style: Style, palette: Palette, words: Sequence[str]) -> Text:
    shown = clip(text, cells)
    cell = Text(shown, style)
    for start, end in matches(shown, words):
        cell.stylize(palette.accent + UNDERLINE, start, end)
    cell.append(" " * max(0, cells - cell_len(shown)))
    return cell


class RowsView(ScrollView, can_focus=True):
    """Draws a choice of rows under the headings of their groups."""

    BINDINGS = []

    @dataclass
    class Clicked(Message):
        """A row was clicked, and it is the chosen one now."""

        twice: bool

    def __init__(self, choice: Choice, palette: Palette, empty: str) -> None:
        super().__init__(id="listing-rows")
        self._choice, self._palette, self._empty = choice, palette, empty
        self._lines: list[int | str] = []  # the index of a row in `choice.shown`, or a heading
        self._at: list[int] = []  # the line of each row
        self._columns: Columns | None = None
        self._columns_for = 0

    def update(self) -> None:
        """The rows have changed, or which of them are shown."""
        self._lines, self._at, group = [], [], ""
        for index, row in enumerate(self._choice.shown):
            if row.group != group:
                group = row.group
                self._lines += [group] if group else []
            self._at.append(len(self._lines))
            self._lines.append(index)
        self._columns = None
        self.virtual_size = Size(self.size.width, max(1, len(self._lines)))
        self.refresh()

    @property
    def height_of_all(self) -> int:
        """Lines that the rows take when nothing is filtered out."""
        rows = self._choice.rows
        groups = sum(1 for at, row in enumerate(rows) if row.group and (at == 0 or rows[at - 1].group != row.group))
        return max(1, len(rows) + groups)

    def reveal(self) -> None:
        """Scroll as little as needed to see the chosen row, and the heading above a first row."""
        self.refresh()
        if not self._at:
            return
        row = self._at[self._choice.index]
        first = row - 1 if row and isinstance(self._lines[row - 1], str) and self.size.height > 1 else row
        top, height = self.scroll_offset.y, self.size.height
        if first < top or row >= top + height:
            self.scroll_to(y=first if first < top else row - height + 1, animate=False, immediate=True)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, max(1, len(self._lines)))
        self.reveal()

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        line = self.scroll_offset.y + y
        text = max(1, width - 1)  # the last cell is the scroll bar's, as in LinesView
        return Strip(self._line(line, text)).crop_extend(0, width, None).apply_style(base)

    def _line(self, number: int, width: int) -> Line:
        palette = self._palette
        if not self._lines:
            words = "Nothing matches." if self._choice.rows else self._empty
            return [Segment(clip(f"  {words}", width), palette.muted)] if number == 0 else []
        if number >= len(self._lines):
            return []
        what = self._lines[number]
        if isinstance(what, str):
            return [Segment(clip(what, width), palette.muted + BOLD)]
        if self._columns is None or self._columns_for != width:
            self._columns, self._columns_for = columns(self._choice.rows, width), width
        row, chosen = self._choice.shown[what], what == self._choice.index
        return row_line(row, self._columns, width, palette, self._choice.words, chosen)

    def on_click(self, event: events.Click) -> None:
        event.stop()
        line = self.scroll_offset.y + event.y
        what = self._lines[line] if 0 <= line < len(self._lines) else ""
        if isinstance(what, int):
            self._choice.choose(what)
            self.post_message(self.Clicked(event.chain > 1))
