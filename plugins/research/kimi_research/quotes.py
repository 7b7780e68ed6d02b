"""Whether a quote stands in a text: word for word, whatever the markup, the kind of dashes and the line breaks."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache

MIN_WORDS = 3
"""Of each piece of a quote: fewer stand on any page."""
MAX_GAP = 1500
"""Characters that `[...]` may leave out: of pieces from anywhere any sentence could be made."""

# No pattern looks past the next bracket of its kind: a page of brackets costs no more than another.
_TARGET = r"\((?:[^()\n]|\([^()\n]*\))*\)"
# A footnote's, also as a link. `[not]` is none: it is a word that somebody put in.
_MARK = re.compile(rf"\[\\?\[?\^?(?:\d{{1,3}}|[a-z]|[ivx]{{2,4}})\\?\]?\](?:{_TARGET})?", re.IGNORECASE)
_LINK = re.compile(rf"!?\[([^\[\]]*)\]{_TARGET}")
_HYPHEN = re.compile(r"(?<=[^\W\d_])[-‐‑\u00ad]\s*(?=[^\W\d_])")  # also where a line was broken
_POWER = re.compile("[⁰¹²³⁴-⁹⁺⁻]+")
_LEFT_OUT = re.compile(r"\[?(?:\.\.\.|…)\]?")


def why_not(quote: str, text: str) -> str:
    """Empty when `quote` stands in `text`, else what is wrong. `...` or `[…]` leaves something out between pieces."""
    pieces = [words for piece in _LEFT_OUT.split(_MARK.sub(" ", quote)) if (words := _words(piece))]
    if not pieces or min(map(len, pieces)) < MIN_WORDS:
        return f"a quote, and each piece of it between [...], has at least {MIN_WORDS} words"
    page = _joined(_words(_MARK.sub(" ", text)))
    ends: list[int] = []  # where what came before may end
    for piece in pieces:
        places = [place for place in _places(_joined(piece), page) if not ends or place >= ends[0]]
        near = [place for place in places if not ends or place - ends[bisect_right(ends, place) - 1] <= MAX_GAP]
        if places and not near:
            return f"[...] leaves out more than {MAX_GAP:,} characters there: make two notes"
        if not near:
            return _difference(piece, page[ends[0] :] if ends else page)
        ends = [place + len(_joined(piece)) - 1 for place in near]
    return ""


def _places(words: str, page: str) -> Iterator[int]:
    place = page.find(words)
    while place >= 0:
        yield place
        place = page.find(words, place + 1)


def _words(text: str) -> list[str]:
    """The words and numbers. Numbers keep sign, point, comma and power: 1.5 is not 15, nor is 10⁵ 105."""
    text = _POWER.sub(lambda power: f" ^{power[0]} ", _LINK.sub(r"\1", text))
    text = unicodedata.normalize("NFKC", text).casefold()
    return [re.sub("[−–]", "-", word) for word in _word().findall(_HYPHEN.sub("", text))]


@cache
def _word() -> re.Pattern[str]:
    """Letters keep their marks: those are the vowels of many scripts. A dash between two numbers is no sign."""
    marks = "".join(chr(code) for code in range(0x300, 0x12000) if unicodedata.category(chr(code))[0] == "M")
    number, ideogram = r"(?:(?<!\w)[-−–])?\d+(?:[.,:/]\d+)*", r"[\u3040-\u30ff\u3400-\u9fff]"
    return re.compile(rf"{number}|{ideogram}|(?:[^\W\d_]|[{marks}])+|[%€$£¥°<>=≤≥±^]")


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
