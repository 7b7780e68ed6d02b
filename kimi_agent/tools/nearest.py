"""The passages of a file that look most like a text that is not in it."""

import difflib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import zip_longest

from kimi_agent.tools.textfile import presentable

_SHOWN_LINES = 12
_SHOWN_WIDTH = 200
_COMPARED_LINES = 40
_LIKE_ENOUGH = 0.4
_FUZZY_LINES = 4000
"""Lines compared letter by letter when no line is equal; more would take seconds."""


def numbered(lines: Sequence[str], start: int, end: int) -> str:
    """Lines `start`:`end` (from 0) in ReadFile's form, long ones cut."""
    return presentable(
        "\n".join(
            f"{number + 1:6d}\t{lines[number][:_SHOWN_WIDTH]}{'…' if len(lines[number]) > _SHOWN_WIDTH else ''}"
            for number in range(max(0, start), min(end, len(lines)))
        )
    )


_PLAIN = str.maketrans(
    dict.fromkeys("‘’‚‛′", "'")
    | dict.fromkeys("“”„‟″«»", '"')
    | dict.fromkeys("‐‑‒–—−", "-")
    | dict.fromkeys("\u00a0\u2002\u2003\u2009\u202f\u3000", " ")
    | {"…": "..."}
)


def typographic_places(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where (line numbers from 0) `wanted` would be found if typographic characters were plain ones."""
    text, old = (unicodedata.normalize("NFC", "\n".join(part)).translate(_PLAIN) for part in (lines, wanted))
    places: list[int] = []
    at, number, last = text.find(old), 0, 0
    while at >= 0 and len(places) < 20:
        number, last = number + text.count("\n", last, at), at
        places.append(number)
        at = text.find(old, at + len(old))
    return list(dict.fromkeys(places))


def nearest(lines: Sequence[str], wanted: Sequence[str], count: int = 2) -> list[str]:
    """Up to `count` descriptions, most alike first, each with its line numbers and its text."""
    size = len(wanted)
    scored = [(_likeness(lines[start : start + size], wanted), start) for start in _starts(lines, wanted)]
    out: list[str] = []
    taken: list[int] = []
    for ratio, start in sorted(scored, key=lambda pair: (-pair[0], pair[1])):
        if ratio < _LIKE_ENOUGH or len(out) == count or any(abs(start - other) < size for other in taken):
            continue
        taken.append(start)
        shown = numbered(lines, start, start + min(size, _SHOWN_LINES))
        where = f"Line {start + 1}" if size == 1 else f"Lines {start + 1}-{min(start + size, len(lines))}"
        out.append(f"{where} ({ratio:.0%} alike):\n{shown}")
    return out


def _likeness(window: Sequence[str], wanted: Sequence[str]) -> float:
    """0 to 1: how alike the lines are, pair by pair, the first ones standing for all."""
    ratios = [
        1.0 if a == b else difflib.SequenceMatcher(None, a[:_SHOWN_WIDTH], b[:_SHOWN_WIDTH], autojunk=False).ratio()
        for a, b in zip_longest(window[:_COMPARED_LINES], wanted[:_COMPARED_LINES], fillvalue="")
    ]
    return sum(ratios) / len(ratios)


def _starts(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where a passage might begin: every equal line votes for the beginning that would put it in its place."""
    keys = [" ".join(line.split()) for line in lines]
    places: dict[str, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        if len(key) > 1:
            places[key].append(index)
    votes: Counter[int] = Counter()
    for offset, line in enumerate(wanted):
        found = places.get(" ".join(line.split()), [])
        for place in found[:50]:
            votes[max(0, place - offset)] += 1000 // len(found)
    if not votes:
        longest = max(range(len(wanted)), key=lambda index: len(wanted[index].strip()))
        sample = [key for key in dict.fromkeys(keys) if key][:_FUZZY_LINES]
        for key in difflib.get_close_matches(" ".join(wanted[longest].split())[:400], sample, 4, 0.5):
            votes[max(0, places.get(key, [0])[0] - longest)] += 1
    return [start for start, _ in votes.most_common(6)]
