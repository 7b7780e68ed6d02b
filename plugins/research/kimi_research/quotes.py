"""Whether a quote stands in a text: word for word, whatever the markup, the kind of dashes and the line breaks."""

import re
import unicodedata
from collections.abc import Sequence

MIN_WORDS = 3
"""Of each piece of a quote: fewer stand on any page."""

_MARK = re.compile(r"\[\\?\[?\w{1,3}\\?\]?\](?:\([^)\s]*\))?")  # a footnote's, also as a link
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-‐‑\u00ad]\s*(?=[^\W\d_])")  # also where a line was broken
_WORD = re.compile(r"[-−]?\d+(?:[.,:/]\d+)*|[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_]+|[%€$£¥°<>=≤≥±]")
_LEFT_OUT = re.compile(r"\[?(?:\.\.\.|…)\]?")


def why_not(quote: str, text: str) -> str:
    """Empty when `quote` stands in `text`, else what is wrong. `...` or `[…]` leaves something out between pieces."""
    pieces = [words for piece in _LEFT_OUT.split(_MARK.sub(" ", quote)) if (words := _words(piece))]
    if not pieces or min(map(len, pieces)) < MIN_WORDS:
        return f"a quote, and each piece of it between [...], has at least {MIN_WORDS} words"
    page, at = _joined(_words(_MARK.sub(" ", text))), 0
    for piece in pieces:
        found = page.find(_joined(piece), at)
        if found < 0:
            return _difference(piece, page[at:])
        at = found + len(_joined(piece)) - 1
    return ""


def _words(text: str) -> list[str]:
    """The words and numbers. Numbers keep sign, point and comma: 1.5 is not 15."""
    text = unicodedata.normalize("NFKC", _LINK.sub(r"\1", text)).casefold()
    return [word.replace("−", "-") for word in _WORD.findall(_HYPHEN.sub("", text))]


def _joined(words: Sequence[str]) -> str:
    return f" {' '.join(words)} "


def _difference(piece: Sequence[str], page: str) -> str:
    """How far the piece goes along with the page."""
    agreed = next((n for n in range(len(piece) - 1, 0, -1) if _joined(piece[:n]) in page), 0)
    if agreed < MIN_WORDS:
        return "the words are not there"
    at = page.index(_joined(piece[:agreed])) + len(_joined(piece[:agreed]))
    rest = " ".join(page[at : at + 200].split()[:8]) or "[its end]"
    return f"its first {agreed} words are there, but the text then goes on with: {rest}"
