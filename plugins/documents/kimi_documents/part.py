"""Which part of a document is wanted, as the model writes it."""

import re

import msgspec

from kimi_agent.core.errors import ToolError

_CELLS = re.compile(r"\$?([A-Z]{1,3})\$?([0-9]{1,7})(?::\$?([A-Z]{1,3})\$?([0-9]{1,7}))?", re.IGNORECASE)
_LAST = 1_000_000


class Part(msgspec.Struct, frozen=True):
    """`pages` such as `3`, `1-5` or `7-`; `sheet` by its name; `cells` such as `A1:D20`. All of them empty: everything."""

    pages: str = ""
    sheet: str = ""
    cells: str = ""

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()

    @property
    def page_range(self) -> range | None:
        """Numbers from 1 on, None for all. Raises ToolError for what is no range."""
        if not self.pages.strip():
            return None
        match = re.fullmatch(r"\s*(\d{1,6})\s*(?:([-–])\s*(\d{1,6})?)?\s*", self.pages)
        if match is None:
            raise ToolError(f"pages={self.pages!r} is no range. Write it as 3, 1-5 or 7-.")
        first = int(match[1])
        last = int(match[3]) if match[3] else (_LAST if match[2] else first)
        if not 1 <= first <= last:
            raise ToolError(f"pages={self.pages!r} is no range: numbers begin at 1 and rise.")
        return range(first, last + 1)

    @property
    def cell_range(self) -> tuple[int, int, int, int] | None:
        """First column, first row, last column, last row, from 1 on; None for all. Raises ToolError for what is no range."""
        if not self.cells.strip():
            return None
        match = _CELLS.fullmatch(self.cells.strip())
        if match is None:
            raise ToolError(f"cells={self.cells!r} is no range. Write it as B4 or A1:D20.")
        column, row = column_number(match[1]), int(match[2])
        last = (column_number(match[3]), int(match[4])) if match[3] else (column, row)
        if not (0 < row <= last[1] and column <= last[0]):
            raise ToolError(f"cells={self.cells!r} is no range: the first cell is the upper left one.")
        return column, row, *last


WHOLE = Part()


def column_number(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number


def chosen(count: int, wanted: range | None, what: str) -> range:
    """The numbers of `wanted` that exist, of `count`. Raises ToolError when there is none."""
    if wanted is None:
        return range(1, count + 1)
    if wanted.start > count:
        raise ToolError(f"The document has {count:,} {what}{'s' * (count != 1)}: there is no {what} {wanted.start:,}.")
    return range(wanted.start, min(wanted.stop, count + 1))
