"""Our two themes. Any theme of Textual can be used instead, by its name."""

import os

from textual.theme import Theme

DARK = Theme(
    name="kimi-dark",
    primary="#7da6e8",
    secondary="#8b93a7",
    accent="#c4a0e0",
    foreground="#d5d9e0",
    background="#15171c",
    surface="#1b1e25",
    panel="#242833",
    success="#8fbf8a",
    warning="#dcb36a",
    error="#e27d80",
    dark=True,
    variables={"line": "#2d323d", "input-selection-background": "#7da6e8 30%", "block-cursor-text-style": "none"},
)
LIGHT = Theme(
    name="kimi-light",
    primary="#2c62b8",
    secondary="#66707f",
    accent="#7d4aa8",
    foreground="#24292f",
    background="#fcfcfb",
    surface="#f4f4f2",
    panel="#e9e9e6",
    success="#2f7a3b",
    warning="#94660a",
    error="#b83a40",
    dark=False,
    variables={"line": "#d9d9d4", "input-selection-background": "#2c62b8 22%", "block-cursor-text-style": "none"},
)
ALIASES = {"dark": DARK.name, "light": LIGHT.name}


def theme_name(wanted: str) -> str:
    """The Textual theme for `dark`, `light`, `auto` (by what the terminal says of its background) or a theme's own name."""
    if wanted and wanted != "auto":
        return ALIASES.get(wanted, wanted)
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name
