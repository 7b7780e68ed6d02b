"""Keys and what they do, the same in every footer: `Enter open · Esc close`."""

from collections.abc import Sequence
from typing import TypeAlias

from rich.text import Text

from kimi_agent.frontends.tui.draw.palette import Palette

Hint: TypeAlias = tuple[str, str]
"""A key and a verb."""


def key_hints(hints: Sequence[Hint], palette: Palette, width: int, *, ellipsis: bool = False) -> Text:
    """As many of the hints as fit, the most needed first; with `ellipsis` a sign stands for those that do not."""
    parts = [Text.assemble((key, palette.primary), " ", (verb, palette.muted)) for key, verb in hints]
    text, sign = _joined(parts, palette), Text(" …" if ellipsis else "", palette.faint)
    if text.cell_len <= width:
        return text
    while parts and text.cell_len + sign.cell_len > width:
        parts.pop()
        text = _joined(parts, palette)
    return text.append_text(sign) if parts else text


def _joined(parts: Sequence[Text], palette: Palette) -> Text:
    text = Text()
    for part in parts:
        if text:
            text.append(" · ", palette.faint)
        text.append_text(part)
    return text
