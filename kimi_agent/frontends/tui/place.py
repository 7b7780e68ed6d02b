"""Where a reader is, whatever the width of the window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.strip import Strip

from kimi_agent.frontends.tui.entries import Entry


@dataclass(slots=True, eq=False)
class Place:
    """The view's top: `delta` rows below the first of entry `number`, with `letters` of the entry above it.

    While nobody scrolls it is kept: each of the many widths that a window has while it is dragged would move the reader a little.
    """

    number: int = 0
    delta: int = 0
    letters: int = 0
    entry: Entry | None = None
    top: int = -1
    """The row to which the view has scrolled for it."""

    def or_new(self, entries: Sequence[Entry], anchor: tuple[int, int], top: int) -> "Place":
        """This place while the view is there, else what the view shows now."""
        number, delta = anchor
        if not entries or (self.top == top and self.entry in entries[self.number : self.number + 1]):
            return self
        entry = entries[number]
        above = (entry.strips or [])[: max(0, delta - entry.gap)]
        return Place(number, delta, sum(map(_letters, above)), entry)

    def redraw(self, draw: Callable[[Entry], None]) -> None:
        """Find it in another width, for which the entry is drawn."""
        if not self.letters or self.entry is None:
            return
        draw(self.entry)
        left, rows = self.letters, self.entry.strips or []
        row = 0
        while row < len(rows) - 1 and (left := left - _letters(rows[row])) >= 0:
            row += 1
        self.delta = self.entry.gap + row


def _letters(strip: Strip) -> int:
    """Of frames and blanks there are more in a wide window."""
    return sum(map(str.isalnum, strip.text))
