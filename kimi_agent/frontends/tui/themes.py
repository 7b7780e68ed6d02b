"""Our themes. Any theme of Textual can be used instead, by its name."""

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
HIGH_CONTRAST_DARK = Theme(
    name="kimi-high-contrast-dark",
    primary="#7cc4ff",
    secondary="#ffffff",
    accent="#e0a8ff",
    foreground="#ffffff",
    background="#000000",
    surface="#242424",
    panel="#6e6e6e",
    success="#5dff6b",
    warning="#ffd84d",
    error="#ff8080",
    dark=True,
    variables={
        "line": "#ffffff",
        "input-selection-background": "#7cc4ff 45%",
        "block-cursor-text-style": "none",
        "contrast": "high",
    },
)
HIGH_CONTRAST_LIGHT = Theme(
    name="kimi-high-contrast-light",
    primary="#003d99",
    secondary="#000000",
    accent="#5a008a",
    foreground="#000000",
    background="#ffffff",
    surface="#e8e8e8",
    panel="#7a7a7a",
    success="#00540f",
    warning="#6b3d00",
    error="#990008",
    dark=False,
    variables={
        "line": "#000000",
        "input-selection-background": "#003d99 30%",
        "block-cursor-text-style": "none",
        "contrast": "high",
    },
)
THEMES = (DARK, LIGHT, HIGH_CONTRAST_DARK, HIGH_CONTRAST_LIGHT)
TERMINAL = "ansi-dark"
"""The terminal's own sixteen colours on its own background, whatever they are."""
ALIASES = {theme.name.removeprefix("kimi-"): theme.name for theme in THEMES} | {"terminal": TERMINAL}


def theme_name(wanted: str) -> str:
    """The Textual theme for a name of ours (`dark`), for `auto` (what the terminal says of its background) or its own name."""
    if wanted and wanted != "auto":
        return ALIASES.get(wanted, wanted)
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name
