"""The vocabulary of worlds: words that training sees and words that it never does, apart by a checksum of each word.

Beside real words there are invented ones (`melkora`, or two or three Chinese characters together): a model that has met a few
hundred words could know them by heart, one that meets thousands learns to copy.
"""

import functools
import random
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

Language = Literal["en", "zh"]
HELD_OUT_SHARE = 5
"""One word of so many is held out."""
LISTS = ("common", "things", "plain", "people", "places", "invented")
"""The kinds of words. What is common is written in Latin letters."""
INVENTED = 6000
"""Invented words there are in a language, trained and held out together."""
_ONSETS = (
    "b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "pl", "pr", "qu", "r", "s",
    "sh", "sk", "st", "t", "th", "tr", "v", "w", "z",
)  # fmt: skip
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou"]
_ENDS = ["", "", "", "n", "r", "s", "l", "t", "x", "m", "nd", "rk"]


def is_held_out(word: str) -> bool:
    return zlib.crc32(word.lower().encode()) % HELD_OUT_SHARE == 0


@functools.cache
def pool(kind: str, language: Language, held_out: bool) -> Sequence[str]:
    """The words of a kind, see LISTS, each once."""
    if kind == "invented":
        every = _invented() if language == "en" else _put_together()
    else:
        every = _listed("en" if kind == "common" else language)[kind]
    return [word for word in every if is_held_out(word) == held_out]


@functools.cache
def _listed(language: Language) -> dict[str, list[str]]:
    """The lists of a language: a line `# kind: ...`, then lines of words."""
    lists: dict[str, list[str]] = {}
    kind = ""
    text = Path(__file__).with_name(f"words_{language}.txt").read_text("utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            kind = line.removeprefix("#").partition(":")[0].strip()
            continue
        lists[kind] = list(dict.fromkeys([*lists.get(kind, []), *line.split()]))
    return lists


@functools.cache
def _invented() -> Sequence[str]:
    """Words of two or three syllables that are on no list; the same ones on every machine."""
    rng, found = random.Random("invented words"), dict[str, None]()
    known = {word for words in _listed("en").values() for word in words}
    while len(found) < INVENTED:
        syllables = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice((2, 2, 3)))]
        word = "".join(syllables) + rng.choice(_ENDS)
        if 4 <= len(word) <= 10 and word not in known:
            found[word] = None
    return list(found)


@functools.cache
def _put_together() -> Sequence[str]:
    """Two or three of the 3,755 common characters (GB 2312, level 1: rows 16 to 55); the same words on every machine."""
    codes = [bytes([row, cell]) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    characters = [text for code in codes if (text := code.decode("gb2312", "ignore"))]
    rng, known = random.Random("invented words"), {word for words in _listed("zh").values() for word in words}
    found = dict[str, None]()
    while len(found) < INVENTED:
        word = "".join(rng.choices(characters, k=rng.choice((2, 2, 3))))
        if word not in known:
            found[word] = None
    return list(found)
