"""What a block needs to know to be drawn."""

from collections.abc import Callable
from typing import TypeAlias

from msgspec import Struct

from kimi_agent.core.message import Image
from kimi_agent.frontends.common.look import Diffs
from kimi_agent.frontends.tui.draw.lines import Line
from kimi_agent.frontends.tui.draw.palette import Palette

GUTTER = 3
"""Cells left of the text: a blank, the mark of the block, a blank."""
RIGHT_MARGIN = 1

DrawPicture: TypeAlias = Callable[[Image, int, int], list[Line] | None]
"""A picture in at most so many cells and rows; None where it is to be told in words."""


class Canvas(Struct, frozen=True):
    """`width` is the whole width in cells; `expanded` shows all of what is folded otherwise.

    Without `colors`, pictures are told in words; `draw_picture` None draws half blocks. Without `thinking`, reasoning is
    not shown while it comes. `elapsed` is how long the block has been at work, in seconds; 0 when that is not told.
    """

    width: int
    palette: Palette
    expanded: bool = False
    cwd: str = ""
    colors: bool = True
    thinking: bool = True
    draw_picture: DrawPicture | None = None
    diffs: Diffs = "auto"
    elapsed: float = 0.0

    @property
    def inner(self) -> int:
        """Width of the text between the gutter and the right margin."""
        return max(10, self.width - GUTTER - RIGHT_MARGIN)
