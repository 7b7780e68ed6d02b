"""Blanks that matter to a person who approves something, drawn as `·` (a space) and `→` (a tab)."""

import re

_END = re.compile(r"[ \t]+$", re.MULTILINE)
_START = re.compile(r"^[ \t]+")


def blanks_of_command(command: str) -> str:
    """Blanks at the ends of lines: a space behind a backslash makes another command of what follows."""
    return _END.sub(_drawn, command)


def blanks_of_diff(unified: str) -> str:
    """Blanks at the ends of changed lines, and the indentation where a change is one of blanks alone."""
    rows = unified.split("\n")
    start = 0
    for end in range(len(rows) + 1):
        if end == len(rows) or rows[end][:1] not in ("+", "-"):
            rows[start:end] = _of_change(rows[start:end])
            start = end + 1
    return "\n".join(rows)


def _of_change(rows: list[str]) -> list[str]:
    """`rows` are the removed and the added lines of one change, with their signs."""
    removed, added = ({_bare(row) for row in rows if row.startswith(sign)} for sign in "-+")
    shown = []
    for row in rows:
        sign, text = row[:1], _END.sub(_drawn, row[1:])
        if _bare(row) in removed & added:
            text = _START.sub(_drawn, text)
        shown.append(sign + text)
    return shown


def _bare(row: str) -> str:
    return "".join(row[1:].split())


def _drawn(match: re.Match[str]) -> str:
    return match.group().replace(" ", "·").replace("\t", "→")
