"""A picture as lines: of half blocks, or of what the terminal draws a picture for."""

from itertools import groupby

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

from kimi_agent.core.message import Image
from kimi_agent.frontends.common.pictures import MAX_ROWS, UPPER_HALF, Cell, caption, half_blocks
from kimi_agent.frontends.tui.draw.canvas import Canvas
from kimi_agent.frontends.tui.draw.lines import Line, clip

EXPANDED_ROWS = 3 * MAX_ROWS


def picture_lines(image: Image, canvas: Canvas, *, told: bool = True) -> list[Line]:
    """The picture; where there are no colours or it cannot be decoded, a line in words if `told`."""
    draw = canvas.draw_picture or block_lines
    lines = draw(image, canvas.inner, EXPANDED_ROWS if canvas.expanded else MAX_ROWS) if canvas.colors else None
    if lines is not None:
        return lines
    return [[Segment(clip(caption(image), canvas.inner), canvas.palette.accent)]] if told else []


def block_lines(image: Image, width: int, rows: int) -> list[Line] | None:
    """The picture as half blocks; None when it cannot be decoded safely."""
    cells = half_blocks(image, width, rows)
    if cells is None:
        return None
    return [[_segment(cell, sum(1 for _ in run)) for cell, run in groupby(row)] for row in cells]


def in_words(image: Image, width: int, rows: int) -> None:
    """For those who want no pictures."""


def _segment(cell: Cell, width: int) -> Segment:
    upper, lower = cell
    return Segment(UPPER_HALF * width, Style(color=Color.from_rgb(*upper), bgcolor=Color.from_rgb(*lower)))
