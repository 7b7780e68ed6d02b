"""The few styles that everything is drawn with, derived from the colours of a Textual theme."""

from collections.abc import Mapping

from msgspec import Struct
from rich.color import ColorParseError
from rich.style import Style
from textual.color import Color

NO_STYLE = Style.null()


class Palette(Struct, frozen=True):
    """Foregrounds carry no background and backgrounds no foreground, so that any two may be added."""

    text: Style
    muted: Style
    faint: Style
    primary: Style
    accent: Style
    success: Style
    warning: Style
    error: Style
    string: Style
    prompt_bg: Style
    code_bg: Style
    added_bg: Style
    removed_bg: Style
    added_word: Style
    removed_word: Style


PLAIN_PALETTE = Palette(
    text=NO_STYLE,
    muted=Style(dim=True),
    faint=Style(dim=True),
    primary=Style(color="blue"),
    accent=Style(color="magenta"),
    success=Style(color="green"),
    warning=Style(color="yellow"),
    error=Style(color="red"),
    string=Style(color="green"),
    prompt_bg=Style(bold=True),
    code_bg=NO_STYLE,
    added_bg=Style(color="green"),
    removed_bg=Style(color="red"),
    added_word=Style(underline=True),
    removed_word=Style(underline=True),
)
"""For terminals whose own sixteen colours are used: no background is painted."""


def palette_from(variables: Mapping[str, str], *, ansi: bool = False) -> Palette:
    """The palette of a theme, given its CSS variables (`App.theme_variables`); `contrast` is one of ours."""
    if ansi:
        return PLAIN_PALETTE
    try:
        names = ("background", "foreground", "primary", "accent", "success", "warning", "error")
        back, text, primary, accent, success, warning, error = (Color.parse(variables[name]) for name in names)
    except (KeyError, ColorParseError, ValueError):
        return PLAIN_PALETTE

    high = variables.get("contrast") == "high"

    def fore(color: Color) -> Style:
        return Style(color=color.rich_color)

    def ground(color: Color, share: float) -> Style:
        return Style(bgcolor=back.blend(color, share).rich_color)

    return Palette(
        text=fore(text),
        muted=fore(back.blend(text, 0.86 if high else 0.62)),
        faint=fore(back.blend(text, 0.7 if high else 0.34)),
        primary=fore(primary),
        accent=fore(accent),
        success=fore(success),
        warning=fore(warning),
        error=fore(error),
        string=fore(success.blend(text, 0.25)),
        prompt_bg=ground(text, 0.14 if high else 0.07),
        code_bg=ground(text, 0.045),
        added_bg=ground(success, 0.16),
        removed_bg=ground(error, 0.15),
        added_word=ground(success, 0.36),
        removed_word=ground(error, 0.34),
    )
