"""What a session changed in files: the edits in its log taken back from what a file holds now, so nothing has to be kept."""

import difflib
import re
from collections.abc import Iterable, Sequence

from msgspec import Struct

from kimi_agent.core import event as ev
from kimi_agent.core.display import Diff

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
NO_END = "\n\\ No newline at end of file"
"""What follows a last line that no line feed ends, in a diff and here."""


class Change(Struct, frozen=True):
    """The change of one file over the whole session as a unified diff; empty when the file is as it was.

    Where it is not `exact`, the file was changed by something else too, and `unified` holds the session's edits one by one.
    Where it has a `note`, that is told in place of a diff; `since`: somebody else has changed it after the session did.
    """

    path: str
    unified: str
    added: int
    removed: int
    created: bool = False
    exact: bool = True
    note: str = ""
    since: bool = False


def edits(events: Iterable[ev.Event]) -> dict[str, list[Diff]]:
    """The edits of a log by file, in order, those of subagents and of undone turns too: files stay as they are."""
    found: dict[str, list[Diff]] = {}
    for event in map(_inner, events):
        if isinstance(event, ev.ToolFinished) and isinstance(event.display, Diff) and not event.is_error:
            found.setdefault(event.display.path, []).append(event.display)
    return found


def commands(events: Iterable[ev.Event]) -> int:
    """How many calls of a log ran commands, whose changes no edit records."""
    started = (event for event in map(_inner, events) if isinstance(event, ev.ToolStarted))
    return sum(any(effect.kind == "run" for effect in event.effects) for event in started)


def change_of(path: str, diffs: Sequence[Diff], now: str | None) -> Change:
    """What `diffs` (all edits of the file, oldest first) amount to in the text that it holds now; None: it is gone."""
    lines = None if now is None else _split(now)
    before = lines
    for diff in reversed(diffs):
        before = None if before is None else _taken_back(before, diff.unified)
    if lines is None or before is None:
        added, removed = sum(diff.added for diff in diffs), sum(diff.removed for diff in diffs)
        return Change(path, "\n".join(diff.unified.rstrip("\n") for diff in diffs), added, removed, exact=False)
    return _compared(path, before, lines, created=diffs[0].created)


def compared(path: str, before: bytes | None, now: bytes | None) -> Change:
    """The change from one content to another; None: there is no file."""
    if b"\0" in (before or b"") or b"\0" in (now or b""):
        sizes = ["not there" if data is None else f"{len(data)} bytes" for data in (before, now)]
        return Change(path, "", 0, 0, before is None, note=f"binary, {sizes[0]} before, {sizes[1]} now")
    old, new = (_split((data or b"").decode("utf-8-sig", "replace")) for data in (before, now))
    change = _compared(path, old, new, created=before is None)
    if change.unified or before == now:
        return change
    note = "there is no text in it, or only its line ends or its encoding changed"
    return Change(path, "", 0, 0, before is None, note=note)


def _compared(path: str, before: Sequence[str], now: Sequence[str], *, created: bool) -> Change:
    rows = list(difflib.unified_diff(before, now, "/dev/null" if created else path, path, lineterm=""))
    added = sum(row.startswith("+") for row in rows[2:])
    removed = sum(row.startswith("-") for row in rows[2:])
    return Change(path, "\n".join(rows), added, removed, created)


def _inner(event: ev.Event) -> ev.Event:
    while isinstance(event, ev.Nested):
        event = event.event
    return event


def _split(text: str) -> list[str]:
    """Lines as a diff of ours writes them: without their ends, whichever those are."""
    *lines, last = text.split("\n")
    lines = [line.removesuffix("\r") for line in lines]
    return [*lines, last + NO_END] if last else lines


def _taken_back(lines: Sequence[str], unified: str) -> list[str] | None:
    """The lines before the change; None when they are not what it left."""
    rows = unified.replace(NO_END, "\0").rstrip("\n").split("\n")
    before: list[str] = []
    at = 0  # the first of `lines` that is not in `before` yet
    index = 0
    while index < len(rows):
        match = _HUNK.match(rows[index])
        index += 1
        if match is None:
            continue
        removed, kept = (1 if count is None else int(count) for count in (match[2], match[4]))
        start = int(match[3]) - (kept > 0)
        old: list[str] = []
        new: list[str] = []
        while len(old) < removed or len(new) < kept:
            if index == len(rows):
                return None
            sign, text = rows[index][:1], rows[index][1:].replace("\0", NO_END)
            old += [text] if sign in ("-", " ", "") else []
            new += [text] if sign in ("+", " ", "") else []
            index += 1
        if start < at or list(lines[start : start + len(new)]) != new:
            return None
        before += [*lines[at:start], *old]
        at = start + len(new)
    return [*before, *lines[at:]]
