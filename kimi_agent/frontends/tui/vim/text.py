"""A text with a cursor, as vim walks over it: also onto the end of a line, which is a place of its own."""

from collections.abc import Sequence
from typing import Final, TypeAlias

from kimi_agent.frontends.common.graphemes import after, before

Place: TypeAlias = tuple[int, int]
"""Row and column, from 0; the column counts code points."""

END: Final = -1  # nothing to go to
INSIDE: Final = 0
NEXT_LINE: Final = 1
LINE_END: Final = 2  # onto the place behind the last character

_BLANK, _PUNCTUATION, _WORD = 0, 1, 2
_SCRIPTS = ((0x3040, 0x309F, 3), (0x30A0, 0x30FF, 4), (0x4E00, 0x9FFF, 5), (0xAC00, 0xD7AF, 6), (0x1F000, 0x1FAFF, 7))


def kind(character: str, *, big: bool) -> int:
    """The class of a character (an empty string is blank): words are runs of one class, with `big` of all that is no blank."""
    if not character or character.isspace():
        return _BLANK
    if big:
        return _PUNCTUATION
    code = ord(character)
    for first, last, number in _SCRIPTS:
        if first <= code <= last:
            return number
    return _WORD if character.isalnum() or character == "_" else _PUNCTUATION


class VimText:
    """Never without a line. The cursor may stand on any code point and, behind the last one, on the line's end."""

    def __init__(self, lines: Sequence[str] = ("",), place: Place = (0, 0)) -> None:
        self.lines = list(lines)
        self.row, self.col = place

    @property
    def place(self) -> Place:
        return self.row, self.col

    @place.setter
    def place(self, place: Place) -> None:
        self.row, self.col = place

    @property
    def line(self) -> str:
        return self.lines[self.row]

    @property
    def last_row(self) -> int:
        return len(self.lines) - 1

    @property
    def here(self) -> str:
        """The code point under the cursor, empty on the line's end."""
        return self.line[self.col : self.col + 1]

    def kind(self, *, big: bool = False) -> int:
        return kind(self.here, big=big)

    def inc(self) -> int:
        """One place forward; answers what it came to."""
        if self.col < len(self.line):
            self.col = after(self.line, self.col)
            return INSIDE if self.here else LINE_END
        if self.row < self.last_row:
            self.place = self.row + 1, 0
            return NEXT_LINE
        return END

    def dec(self) -> int:
        """One place back; from a line's beginning to the end of the line before."""
        if self.col > 0:
            self.col = before(self.line, self.col)
            return INSIDE
        if self.row > 0:
            self.place = self.row - 1, len(self.lines[self.row - 1])
            return NEXT_LINE
        return END

    def skip(self, sort: int, *, big: bool, forward: bool) -> bool:
        """Over characters of one class; True when the text ended there."""
        while self.kind(big=big) == sort:
            if (self.inc() if forward else self.dec()) == END:
                return True
        return False

    def indent(self, row: int) -> int:
        """The column of the first character that is no blank; the line's length when there is none."""
        line = self.lines[row]
        return len(line) - len(line.lstrip(" \t"))

    def last(self, row: int) -> int:
        """The column of a line's last character, 0 in an empty one."""
        return before(self.lines[row], len(self.lines[row]))

    def to_first_nonblank(self, row: int) -> None:
        """Onto the first character of a line that is no blank, the last one when all are."""
        self.place = row, min(self.indent(row), self.last(row))

    def clamp(self, *, past_end: bool = False) -> None:
        """Put the cursor where normal mode allows it: on a character, if the line has one."""
        self.row = max(0, min(self.row, self.last_row))
        limit = len(self.line) if past_end else self.last(self.row)
        self.col = max(0, min(self.col, limit))
