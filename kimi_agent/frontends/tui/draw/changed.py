"""Which lines of a change belong together, and which words in them differ."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import TypeAlias

Pair: TypeAlias = tuple[int | None, int | None]
"""Numbers of a removed and an added line that stand beside each other."""
Span: TypeAlias = tuple[int, int]

_WORD = re.compile(r"[^\W\u2e80-\u9fff\uac00-\ud7af]+|\s+|.")
MAX_LINE = 500
"""Characters; the words of longer lines are not compared."""
MAX_LINES = 60
"""Lines on a side of a change beyond which they stand beside each other in order."""
ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Words:
    """How alike two lines are, from 0 to 1, and the parts of each that the other has not."""

    alike: float
    removed: tuple[Span, ...] = ()
    added: tuple[Span, ...] = ()


def compare(old: str, new: str) -> Words:
    if len(old) > MAX_LINE or len(new) > MAX_LINE:
        return Words(0.0)
    olds, news = _WORD.findall(old), _WORD.findall(new)
    matches = SequenceMatcher(None, olds, news, autojunk=False).get_matching_blocks()
    kept = [word for match in matches for word in olds[match.a : match.a + match.size]]
    size = len("".join(old.split())) + len("".join(new.split()))
    alike = 2 * sum(len(word) for word in kept if not word.isspace()) / size if size else 1.0
    return Words(
        alike,
        _rest(olds, [(match.a, match.size) for match in matches]),
        _rest(news, [(match.b, match.size) for match in matches]),
    )


def _rest(words: Sequence[str], kept: Sequence[tuple[int, int]]) -> tuple[Span, ...]:
    """The character spans outside of the kept runs of words; blanks between two of them belong to them."""
    spans: list[Span] = []
    done, at = 0, 0
    for start, size in kept:
        gap, text = "".join(words[done:start]), "".join(words[start : start + size])
        if gap:
            joins = spans and not "".join(words[:done])[spans[-1][1] :].strip()
            spans[-1:] = (
                [(spans[-1][0] if joins else at, at + len(gap))] if joins else [*spans[-1:], (at, at + len(gap))]
            )
        at += len(gap) + len(text)
        done = start + size
    return tuple(spans)


def pairs(removed: Sequence[str], added: Sequence[str]) -> list[Pair]:
    """The lines of one change side by side: those that are alike together, the others in order between them."""
    made: list[Pair] = []
    old = new = 0
    for i, j in _alike(removed, added):
        made += [*_in_order(range(old, i), range(new, j)), (i, j)]
        old, new = i + 1, j + 1
    return made + _in_order(range(old, len(removed)), range(new, len(added)))


def _in_order(removed: range, added: range) -> list[Pair]:
    return list(zip_longest(removed, added))


def _alike(removed: Sequence[str], added: Sequence[str]) -> list[tuple[int, int]]:
    if len(removed) == len(added) or max(len(removed), len(added)) > MAX_LINES:
        return []
    found: list[tuple[int, int]] = []
    begin = 0
    for i, line in enumerate(removed):
        j = next((j for j in range(begin, len(added)) if compare(line, added[j]).alike >= ALIKE), None)
        if j is not None:
            found.append((i, j))
            begin = j + 1
    return found
