"""What the transcript on screen keeps of each block."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from textual.strip import Strip

from kimi_agent.agent.transcript import PromptBlock
from kimi_agent.frontends.tui.draw.blocks import Drawable
from kimi_agent.frontends.tui.draw.lines import Line

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.draw.markdown import MarkdownStream


class Entry(Struct, eq=False):
    """A block in the view. `height` is a guess until `exact`; `gap` blank rows stand above it.

    `sought` is its text as a search compares it, until the block changes. `began` is when it was first seen at work, by the
    view's clock; 0 for what was not.
    """

    block: Drawable
    height: int = 1
    gap: int = 0
    exact: bool = False
    strips: list[Strip] | None = None
    stream: "MarkdownStream | None" = None
    expanded: bool = False
    sought: str | None = None
    began: float = 0.0


def prompt_beside(entries: Sequence[Entry], offsets: Sequence[int], top: int, step: int) -> int | None:
    """Number of the nearest prompt that begins above (-1) or below (1) a row of the whole transcript."""
    rows = [
        (offset + entry.gap, number)
        for number, (offset, entry) in enumerate(zip(offsets, entries, strict=False))
        if isinstance(entry.block, PromptBlock) and not entry.block.void
    ]
    found = [number for row, number in rows if (row < top if step < 0 else row > top)]
    return (found[-1] if step < 0 else found[0]) if found else None


def rows_between(
    entries: Sequence[Entry], offsets: Sequence[int], first: int, last: int, draw: Callable[[Entry], Sequence[Line]]
) -> list[Line]:
    """The rows from `first` to `last` of the whole transcript, drawn anew. `entries` begin at or above `first`."""
    rows: list[Line] = [[] for _ in range(first, last + 1)]
    for entry, offset in zip(entries, offsets, strict=True):
        if offset > last:
            break
        for row, line in enumerate([] if entry.block.void else draw(entry), offset + entry.gap):
            if first <= row <= last:
                rows[row - first] = line
    return rows
