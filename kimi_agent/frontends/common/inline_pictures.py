"""A picture that the terminal itself draws, between lines of text that scroll with it: for line mode."""

from kimi_agent.core.message import Image
from kimi_agent.frontends.common.graphics import CELL, Protocol, cell_size, iterm2_here, kitty_here, on_rows
from kimi_agent.frontends.common.pictures import scaled
from kimi_agent.frontends.common.sixel import MAX_PIXELS as MAX_SIXELS
from kimi_agent.frontends.common.sixel import sixel


def inline_picture(
    image: Image, protocol: Protocol, width: int, rows: int, cell: tuple[int, int] | None = None
) -> str | None:
    """What draws it below the line of the cursor; None where half blocks or words are to stand for it.

    `rows` is less than the window has. Sixel counts in pixels: without a cell's size nobody knows how many rows it takes.
    """
    told = cell or cell_size()
    if protocol in ("blocks", "off") or (protocol == "sixel" and told is None):
        return None
    found = scaled(image, width, rows, told or CELL, MAX_SIXELS if protocol == "sixel" else None)
    if found is None:
        return None
    if protocol == "sixel":
        drawn = sixel(found.picture)
    else:
        drawn = (kitty_here if protocol == "kitty" else iterm2_here)(found.png, found.columns, found.rows)
    return on_rows(drawn, found.rows)
