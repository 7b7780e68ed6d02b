"""A text area with the keys of readline: killing and yanking, words, and characters as a person sees them."""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.document._document import EditResult, Location
from textual.document._edit import Edit
from textual.widgets import TextArea

from kimi_agent.frontends.common.graphemes import after, before

KILLS = 20
"""Killed texts that are kept."""


class ReadlineArea(TextArea):
    """Kills one after the other are one text. Alt-Y exchanges what was yanked for what was killed before it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+k", "kill('line_end')", show=False),
        Binding("ctrl+u", "kill('line_start')", show=False),
        Binding("ctrl+w", "kill('blank_left')", show=False),
        Binding("alt+backspace,ctrl+backspace", "kill('word_left')", show=False),
        Binding("alt+d,alt+delete,ctrl+delete", "kill('word_right')", show=False),
        Binding("ctrl+y", "yank", show=False),
        Binding("alt+y", "yank_older", show=False),
        Binding("alt+b,ctrl+left", "word(-1)", show=False),
        Binding("alt+f,ctrl+right", "word(1)", show=False),
        Binding("ctrl+b", "cursor_left", show=False),
        Binding("ctrl+p", "cursor_up", show=False),
        Binding("ctrl+n", "cursor_down", show=False),
        Binding("ctrl+h", "delete_left", show=False),
    ]

    _after_kill: Location | None = None  # where a kill has left the cursor: the next one there joins it
    _killed_in = ""
    _yanked: tuple[Location, Location, int] | None = None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.kills: list[str] = []

    def get_cursor_left_location(self) -> Location:
        row, column = self.cursor_location
        if column > 0:
            return row, before(self.document.get_line(row), column)
        return (row - 1, len(self.document.get_line(row - 1))) if row > 0 else (0, 0)

    def get_cursor_right_location(self) -> Location:
        row, column = self.cursor_location
        line = self.document.get_line(row)
        if column < len(line):
            return row, after(line, column)
        return (row + 1, 0) if row + 1 < self.document.line_count else (row, column)

    def whole(self, start: Location, end: Location) -> tuple[Location, Location]:
        """The part of the text that is taken out when this part of it is to be."""
        return start, end

    def _delete_via_keyboard(self, start: Location, end: Location) -> EditResult | None:
        return super()._delete_via_keyboard(*self.whole(*sorted((start, end))))

    # Textual wraps again only what it takes for changed, which fails for edits in several places, and scrolls to the cursor
    # while that may still be behind the text's end.

    def _undo_batch(self, edits: Sequence[Edit]) -> None:
        for edit in reversed(edits):
            edit.undo(self)
        self._after_batch(edits[0] if edits else None)

    def _redo_batch(self, edits: Sequence[Edit]) -> None:
        for edit in edits:
            edit.do(self, record_selection=False)
        self._after_batch(edits[-1] if edits else None)

    def _after_batch(self, last: Edit | None) -> None:
        if last is None:
            return
        self.wrapped_document.wrap(self.wrap_width, self.indent_width)
        last.after(self)
        self._refresh_size()
        self._build_highlight_map()
        self.post_message(self.Changed(self))

    def action_word(self, step: int) -> None:
        self.move_cursor(self._word_left() if step < 0 else self._word_right())

    def action_kill(self, what: str) -> None:
        """Cut from the cursor to a line's end or start, to a blank, or over a word."""
        here = self.cursor_location
        match what:
            case "line_end":
                there = (here[0], len(self.document.get_line(here[0])))
                there = self.get_cursor_right_location() if there == here else there
            case "line_start":
                there = (here[0], 0) if here[1] else self.get_cursor_left_location()
            case "word_right":
                there = self._word_right()
            case _:
                there = self._word_left(blanks=what == "blank_left")
        start, end = self.whole(*sorted((here, there)))
        text = self.get_text_range(start, end)
        if not text:
            return
        joins = self._after_kill == here and self._killed_in == self.text and self.kills
        if joins:
            self.kills[-1] = self.kills[-1] + text if there > here else text + self.kills[-1]
        else:
            self.kills.append(text)
            del self.kills[:-KILLS]
        self._delete_via_keyboard(start, end)
        self._after_kill, self._killed_in = self.cursor_location, self.text

    def action_yank(self) -> None:
        if self.kills:
            self._yank(len(self.kills) - 1, self.cursor_location, self.cursor_location)

    def action_yank_older(self) -> None:
        if self._yanked is not None and self._yanked[1] == self.cursor_location:
            start, end, number = self._yanked
            self._yank((number - 1) % len(self.kills), start, end)

    def _yank(self, number: int, start: Location, end: Location) -> None:
        self._replace_via_keyboard(self.kills[number], start, end)
        self._yanked = start, self.cursor_location, number

    def _word_left(self, *, blanks: bool = False) -> Location:
        row, column = self.cursor_location
        if column == 0:
            return self.get_cursor_left_location()
        line = self.document.get_line(row)
        while column and _between(line[column - 1], blanks=blanks):
            column -= 1
        while column and not _between(line[column - 1], blanks=blanks):
            column -= 1
        return row, column

    def _word_right(self) -> Location:
        row, column = self.cursor_location
        line = self.document.get_line(row)
        if column >= len(line):
            return self.get_cursor_right_location()
        while column < len(line) and _between(line[column]):
            column += 1
        while column < len(line) and not _between(line[column]):
            column += 1
        return row, column


def _between(character: str, *, blanks: bool = False) -> bool:
    """Whether a character stands between words; accents and joiners belong to what they stand on."""
    if blanks or character.isspace():
        return character.isspace()
    return character.isascii() and not character.isalnum()
