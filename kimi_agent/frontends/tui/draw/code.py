"""Syntax colours from the palette. Pygments is imported when the first code is drawn."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.style import Style
from rich.text import Text

from kimi_agent.frontends.tui.draw.palette import NO_STYLE, Palette

if TYPE_CHECKING:
    from rich.syntax import SyntaxTheme

HIGHLIGHT_LIMIT = 60_000
"""Characters; longer code is drawn without colours."""


@lru_cache(maxsize=4)
def _theme(palette: Palette) -> "SyntaxTheme":
    from pygments.token import Comment, Error, Generic, Keyword, Literal, Name, Number, Operator, String, Token
    from rich.syntax import SyntaxTheme

    styles: dict[Any, Style] = {
        Token: palette.text,
        Comment: palette.muted + Style(italic=True),
        Keyword: palette.primary,
        Keyword.Constant: palette.accent,
        Operator.Word: palette.primary,
        Name.Builtin: palette.accent,
        Name.Class: palette.text + Style(bold=True),
        Name.Decorator: palette.accent,
        Name.Exception: palette.accent,
        Name.Function: palette.text + Style(bold=True),
        Name.Tag: palette.primary,
        Name.Attribute: palette.accent,
        String: palette.string,
        Number: palette.warning,
        Literal: palette.warning,
        Generic.Inserted: palette.success,
        Generic.Deleted: palette.error,
        Generic.Heading: palette.primary,
        Error: palette.text,
    }

    class Theme(SyntaxTheme):
        def get_style_for_token(self, token_type: Any) -> Style:
            while token_type not in styles:
                token_type = token_type.parent
            return styles[token_type]

        def get_background_style(self) -> Style:
            return NO_STYLE

    return Theme()


def highlight(code: str, language: str, palette: Palette) -> Text:
    """`code` (already safe to show) coloured as `language`, a lexer name, an alias or empty."""
    if not language or len(code) > HIGHLIGHT_LIMIT:
        return Text(code, palette.text)
    from rich.syntax import Syntax

    text = Syntax("", language, theme=_theme(palette)).highlight(code)
    if text.plain.endswith("\n") and not code.endswith("\n"):
        text.right_crop(1)  # the lexer adds a final newline
    return text


@lru_cache(maxsize=256)
def language_of(path: str) -> str:
    """The lexer for a file name, empty when there is none."""
    from pygments.lexers import find_lexer_class_for_filename

    lexer = find_lexer_class_for_filename(path.rsplit("/", 1)[-1])
    return lexer.aliases[0] if lexer and lexer.aliases else ""
