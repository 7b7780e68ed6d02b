"""The exact change of a file as a unified diff, in time that grows with the size of the file and not with its square."""

import difflib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from kimi_agent.core.display import Diff
from kimi_agent.tools.textfile import presentable

CONTEXT = 3
_QUADRATIC = 250_000
"""Product of line counts up to which two passages without a unique common line are compared line by line."""

Range: TypeAlias = tuple[int, int, int, int]
"""Lines [0]:[1] of the old text became lines [2]:[3] of the new one."""


def diff_of(path: str, old: str, new: str, *, created: bool = False) -> Diff:
    """Line ends are shown (`␍␊`, `␊`) where the changed lines have different ones, else left out."""
    a, b = split_lines(old), split_lines(new)
    ranges = changed_ranges(a, b)
    ends = {_line_end(line) for i1, i2, j1, j2 in ranges for line in (*a[i1:i2], *b[j1:j2])} - {""}
    lines = [f"--- {'/dev/null' if created else path}", f"+++ {path}"] if ranges or created else []
    for hunk in _hunks(ranges):
        lines.extend(_hunk_lines(a, b, hunk, mark=len(ends) > 1))
    removed, added = (sum(r[k + 1] - r[k] for r in ranges) for k in (0, 2))
    return Diff(path, presentable("\n".join(lines) + "\n" if lines else ""), added, removed, created)


def split_lines(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends a line, as for compilers and grep."""
    lines = text.split("\n")
    last = lines.pop()
    return [line + "\n" for line in lines] + ([last] if last else [])


def changed_ranges(a: Sequence[str], b: Sequence[str]) -> list[Range]:
    """Patience diff: lines that occur once on both sides hold the texts together; the rest is compared between them."""
    out: list[Range] = []
    todo = [(0, len(a), 0, len(b))]
    while todo:
        i1, i2, j1, j2 = _trim(a, b, todo.pop())
        if i1 == i2 or j1 == j2:
            if i1 < i2 or j1 < j2:
                out.append((i1, i2, j1, j2))
        elif anchors := _anchors(a, b, (i1, i2, j1, j2)):
            points = [(i1 - 1, j1 - 1), *anchors, (i2, j2)]
            todo.extend((p + 1, q, r + 1, s) for (p, r), (q, s) in pairwise(points))
        elif (i2 - i1) * (j2 - j1) <= _QUADRATIC:
            matcher = difflib.SequenceMatcher(None, a[i1:i2], b[j1:j2], autojunk=False)
            codes = (code for code in matcher.get_opcodes() if code[0] != "equal")
            out.extend((i1 + p, i1 + q, j1 + r, j1 + s) for _, p, q, r, s in codes)
        else:
            out.append((i1, i2, j1, j2))
    return sorted(out)


def _trim(a: Sequence[str], b: Sequence[str], given: Range) -> Range:
    i1, i2, j1, j2 = given
    while i1 < i2 and j1 < j2 and a[i1] == b[j1]:
        i1, j1 = i1 + 1, j1 + 1
    while i1 < i2 and j1 < j2 and a[i2 - 1] == b[j2 - 1]:
        i2, j2 = i2 - 1, j2 - 1
    return i1, i2, j1, j2


def _anchors(a: Sequence[str], b: Sequence[str], given: Range) -> list[tuple[int, int]]:
    """The longest rising sequence of lines that are unique in both passages."""
    i1, i2, j1, j2 = given
    in_a, in_b = _unique(a, i1, i2), _unique(b, j1, j2)
    pairs = [(i, in_b[line]) for line, i in in_a.items() if line in in_b]
    ends: list[int] = []  # ends[n]: smallest b-line that ends a rising sequence of n + 1
    last: list[int] = []  # the same, as an index of pairs
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        ends[length : length + 1] = [j]
        last[length : length + 1] = [index]
        before.append(last[length - 1] if length else -1)
    chain: list[tuple[int, int]] = []
    index = last[-1] if last else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]


def _unique(lines: Sequence[str], start: int, end: int) -> dict[str, int]:
    """Lines that occur once, in order, with their places."""
    places: dict[str, int] = {}
    for index in range(start, end):
        line = lines[index]
        places[line] = -1 if line in places else index
    return {line: index for line, index in places.items() if index >= 0}


def _hunks(ranges: Sequence[Range]) -> Iterator[list[Range]]:
    """Ranges whose context would touch, together."""
    hunk: list[Range] = []
    for changed in ranges:
        if hunk and changed[0] - hunk[-1][1] > 2 * CONTEXT:
            yield hunk
            hunk = []
        hunk.append(changed)
    if hunk:
        yield hunk


def _hunk_lines(a: Sequence[str], b: Sequence[str], hunk: Sequence[Range], *, mark: bool) -> Iterator[str]:
    start, end = max(0, hunk[0][0] - CONTEXT), min(len(a), hunk[-1][1] + CONTEXT)
    new_start, new_end = hunk[0][2] - (hunk[0][0] - start), hunk[-1][3] + (end - hunk[-1][1])
    yield f"@@ -{_span(start, end)} +{_span(new_start, new_end)} @@"
    at = start
    for i1, i2, j1, j2 in hunk:
        yield from _drawn(" ", a[at:i1])
        yield from _drawn("-", a[i1:i2], mark=mark)
        yield from _drawn("+", b[j1:j2], mark=mark)
        at = i2
    yield from _drawn(" ", a[at:end])


def _span(start: int, end: int) -> str:
    return f"{start + 1 if end > start else start},{end - start}"


def _drawn(sign: str, lines: Sequence[str], *, mark: bool = False) -> Iterator[str]:
    for line in lines:
        ending = _line_end(line)
        body = line[: len(line) - len(ending)]
        yield sign + body + (ending.replace("\r", "␍").replace("\n", "␊") if mark else "")
        if not ending:
            yield "\\ No newline at end of file"


def _line_end(line: str) -> str:
    return "\r\n" if line.endswith("\r\n") else "\n" if line.endswith("\n") else ""
