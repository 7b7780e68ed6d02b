"""Painting over a part of a drawn line."""

from typing import Any

from rich.cells import cell_len
from rich.style import Style
from textual.screen import Screen
from textual.strip import Strip

from kimi_agent.frontends.tui.draw.palette import Palette


def selection_style(screen: Screen[Any], palette: Palette) -> Style:
    """What the mouse selects looks like. Most themes have no colour for its text: it is then told to be that of its ground."""
    style = screen.get_component_rich_style("screen--selection")
    return style if style.color != style.bgcolor else Style(color=palette.text.color, bgcolor=style.bgcolor)


def painted(strip: Strip, start: int, end: int, style: Style) -> Strip:
    """`strip` with a style laid over its characters from `start` to `end`; -1 is the end of the line."""
    text = strip.text
    left = cell_len(text[:start])
    right = strip.cell_length if end == -1 else cell_len(text[:end])
    middle = strip.crop(left, right)
    over = Strip([type(s)(s.text, (s.style + style) if s.style else style) for s in middle])
    return Strip.join([strip.crop(0, left), over, strip.crop(right)])
