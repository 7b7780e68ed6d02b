"""What a block needs to know to be drawn."""

from dataclasses import dataclass

from kimi_agent.frontends.tui.draw.palette import Palette

GUTTER = 3
"""Cells left of the text: a blank, the mark of the block, a blank."""
RIGHT_MARGIN = 1


@dataclass(frozen=True, slots=True)
class Canvas:
    """`width` is the whole width in cells; `expanded` shows all of what is folded otherwise.

    Without `colors`, pictures are told in words; without `thinking`, reasoning is not shown while it comes.
    """

    width: int
    palette: Palette
    expanded: bool = False
    cwd: str = ""
    colors: bool = True
    thinking: bool = True

    @property
    def inner(self) -> int:
        """Width of the text between the gutter and the right margin."""
        return max(10, self.width - GUTTER - RIGHT_MARGIN)
