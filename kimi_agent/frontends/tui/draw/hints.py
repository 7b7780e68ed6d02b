"""Keys and what they do, the same in every footer: `Enter open · Esc close`."""

from collections.abc import Sequence
from typing import TypeAlias

from rich.text import Text

from kimi_agent.frontends.tui.draw.palette import Palette

Hint: TypeAlias = tuple[str, str]
"""A key and a verb."""


def key_hints(hints: Sequence[Hint], palette: Palette, width: int) -> Text:
    """As many of the hints as fit, the most needed first."""
    text = Text()
    for key, verb in hints:
        part = Text.assemble((key, palette.primary), " ", (verb, palette.muted))
        if text.cell_len + part.cell_len + (3 if text else 0) > width:
            break
        if text:
            text.append(" · ", palette.faint)
        text.append_text(part)
    return text
