"""Where an edit goes: the one place that its `old` text names, or words about why there is none."""

import difflib
import re
from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

from kimi_agent.tools.nearest import nearest, numbered, typographic_places
from kimi_agent.tools.textfile import line_end_near, with_line_ends

_LINE_NUMBER = re.compile(r" *\d+\t")
_MANY = 1000
"""Places beyond which they are not counted."""
_ALIGNABLE = 2000
"""Lines up to which the lines that an edit leaves alone are told from those that it changes."""


class NoMatch(Exception):
    """The edit cannot be placed; the text says why and what is there instead."""


class Span(Struct, frozen=True):
    """Characters `start`:`end` of the text are replaced by `new`."""

    start: int
    end: int
    new: str


class Placed(Struct, frozen=True):
    """The spans of one edit, in order. `note` says what was different from the plain replacement that was asked for."""

    spans: tuple[Span, ...]
    note: str = ""


def place(text: str, old: str, new: str, *, replace_all: bool) -> Placed:
    """Match `old` in `text`, line ends apart; new lines get the line end of the place where they go.

    Raises NoMatch. Only what differs between `old` and `new` is in a span, so equal parts keep their bytes.
    """
    old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    if old == new:
        raise NoMatch("`old` and `new` are the same: there is nothing to change.")
    if not old:
        raise NoMatch("`old` is empty. Name the text to replace, or use WriteFile.")
    view = _View(text)
    places = _places(view.text, old, overlapping=not replace_all)
    if not places:
        return _place_loosely(view, old, new)
    if len(places) > 1 and not replace_all:
        raise NoMatch(_ambiguous(view.text, old, places))
    head, tail = _same_ends(old, new)
    changed = new[head : len(new) - tail]
    return Placed(tuple(view.span(place + head, place + len(old) - tail, changed) for place in places))


class _View:
    """The text with every line end a line feed, and the way back to the places in the original."""

    def __init__(self, original: str) -> None:
        self.original = original
        self.text = original.replace("\r\n", "\n")
        self._crlf = [found.start() - n for n, found in enumerate(re.finditer("\r\n", original))]

    def span(self, start: int, end: int, new: str) -> Span:
        at, until = (place + bisect_left(self._crlf, place) for place in (start, end))
        if self._crlf and "\n" in new:
            new = with_line_ends(new, line_end_near(self.original, at))
        return Span(at, until, new)


def _places(text: str, old: str, *, overlapping: bool) -> list[int]:
    step = 1 if overlapping else len(old)
    places: list[int] = []
    at = text.find(old)
    while at >= 0 and not (overlapping and len(places) >= _MANY):
        places.append(at)
        at = text.find(old, at + step)
    return places


def _common(a: str, b: str) -> int:
    """How many characters at the beginning are the same."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def _same_ends(old: str, new: str) -> tuple[int, int]:
    """How many characters at the beginning and at the end are the same; the two never overlap."""
    head = _common(old, new)
    return head, _common(old[head:][::-1], new[head:][::-1])


def _ambiguous(text: str, old: str, places: Sequence[int]) -> str:
    lines = text.split("\n")
    numbers = [text.count("\n", 0, place) for place in places[:20]]
    size = min(old.count("\n") + 1, 4)
    shown = "\n".join(numbered(lines, max(0, number - 2), number + size) + "\n" for number in numbers[:3])
    listed = ", ".join(str(number + 1) for number in numbers) + (", ..." if len(places) > len(numbers) else "")
    count = f"{_MANY} or more" if len(places) >= _MANY else str(len(places))
    return (
        f"`old` is found in {count} places (lines {listed}). Add neighbouring lines until it is unique, "
        f"or set replace_all.\n{shown.rstrip()}"
    )


# --- the second chance: whole lines, white space apart ----------------------------------------------------------------


def _place_loosely(view: _View, old: str, new: str) -> Placed:
    lines = view.text.split("\n")
    wanted = old.removesuffix("\n").split("\n")
    starts = _windows(lines, wanted)
    if len(starts) != 1:
        raise NoMatch(_not_found(lines, wanted, starts))
    first = starts[0]
    last = first + len(wanted)  # the line after the matched ones
    replacement = new
    whole_lines = old.endswith("\n")
    if whole_lines and new.endswith("\n"):
        replacement, whole_lines = new.removesuffix("\n"), False
    fitted = _fit(lines[first:last], wanted, replacement.split("\n") if replacement else [])
    start = sum(map(len, lines[:first])) + first
    end = start + sum(map(len, lines[first:last])) + len(wanted) - 1
    if whole_lines and last < len(lines):
        end += 1
    body = "\n".join(fitted)
    head, tail = _same_ends(view.text[start:end], body)
    if head == len(body) == end - start:
        raise NoMatch(
            "`old` and `new` differ only in white space that the file does not have: there is nothing to change."
        )
    span = view.span(start + head, end - tail, body[head : len(body) - tail])
    where = f"line {first + 1}" if len(wanted) == 1 else f"lines {first + 1}-{last}"
    return Placed((span,), f"`old` matched {where} only with white space ignored; `new` was re-indented to fit")


def _key(line: str) -> str:
    return " ".join(line.split())


def _windows(lines: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where the lines stand that are equal to `wanted` but for white space."""
    keys, wanted_keys = [_key(line) for line in lines], [_key(line) for line in wanted]
    if not any(wanted_keys):
        return []
    size = len(wanted_keys)
    return [
        start
        for start in range(len(keys) - size + 1)
        if keys[start] == wanted_keys[0] and keys[start : start + size] == wanted_keys
    ]


def _fit(found: Sequence[str], old: Sequence[str], new: Sequence[str]) -> list[str]:
    """The new lines: those that `old` has too as they stand in the file, the others with the file's indentation."""
    indents = [(_indent(o), _indent(f)) for o, f in zip(old, found, strict=True) if o.strip()]
    if len(old) * len(new) > _ALIGNABLE**2:
        return [_reindent(line, indents) for line in new]
    out: list[str] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        out.extend(found[i1:i2] if tag == "equal" else (_reindent(line, indents) for line in new[j1:j2]))
    return out


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _reindent(line: str, indents: Sequence[tuple[str, str]]) -> str:
    """`indents` pairs the indentation that the model believes in with the file's, line by line."""
    if not line.strip():
        return ""
    own = _indent(line)
    known = dict(reversed(indents))  # the first pair wins
    if own in known:
        return known[own] + line.lstrip()
    believed, real = max(
        (pair for pair in indents if own.startswith(pair[0])),
        key=lambda pair: len(pair[0]),
        default=min(indents, key=lambda pair: len(pair[0])),
    )
    unit = _columns_per_tab(indents)
    more = len(own.expandtabs(unit)) - len(believed.expandtabs(unit))
    tabs = "\t" in real or (not real and any("\t" in file for _, file in indents))
    if more >= 0:
        extra = "\t" * (more // unit) + " " * (more % unit) if tabs else " " * more
        return real + extra + line.lstrip()
    keep = max(0, len(real.expandtabs(unit)) + more)
    kept = "\t" * (keep // unit) + " " * (keep % unit) if tabs else " " * keep
    return kept + line.lstrip()


def _columns_per_tab(indents: Sequence[tuple[str, str]]) -> int:
    """How many columns the model writes where the file has a tab, or has where the model writes a tab; 4 when unknown."""
    for pair in indents:
        for tabs, spaces in (pair, pair[::-1]):
            if tabs and not tabs.strip("\t") and spaces and not spaces.strip(" ") and len(spaces) % len(tabs) == 0:
                return len(spaces) // len(tabs)
    return 4


def _not_found(lines: Sequence[str], wanted: Sequence[str], starts: Sequence[int]) -> str:
    if starts:
        listed = ", ".join(str(start + 1) for start in starts[:20])
        shown = numbered(lines, starts[0], starts[0] + min(len(wanted), 4))
        return (
            f"`old` is not in the file as written; with white space ignored it is in {len(starts)} places "
            f"(lines {listed}). Copy the lines exactly and add neighbouring ones.\n{shown}"
        )
    if places := typographic_places(lines, wanted):
        shown = numbered(lines, places[0], places[0] + min(len(wanted), 4))
        listed = ", ".join(str(place + 1) for place in places[:20])
        return (
            f"`old` is not in the file as written: at line {listed} the file has other quotes, dashes, spaces or accents "
            f"(typographic ones, or composed otherwise). Copy them exactly, or name only text around them.\n{shown}"
        )
    message = "`old` is not in the file."
    if all(_LINE_NUMBER.match(line) for line in wanted):
        message += " It seems to contain ReadFile's line numbers: leave out everything up to the tab."
    return "\n".join([message, *nearest(lines, wanted)])
