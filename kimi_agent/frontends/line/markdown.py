"""Cuts streamed Markdown into pieces that can be rendered for good, one after the other."""

import re

_FENCE = re.compile(r"^\s*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}|~{3,})")


class MarkdownStream:
    """`feed` answers the pieces that are finished: paragraphs, lists, tables, whole fenced blocks. `rest` is what is not."""

    def __init__(self) -> None:
        self._lines: list[str] = []  # whole lines of the unfinished piece
        self._tail = ""  # the unfinished line
        self._fence = ""

    def feed(self, text: str) -> list[str]:
        *lines, self._tail = (self._tail + text).split("\n")
        pieces: list[str] = []
        for line in lines:
            if self._take(line):
                pieces += self._cut()
        return pieces

    def flush(self) -> list[str]:
        """The last piece, finished or not."""
        self._lines.append(self._tail)
        self._tail = self._fence = ""
        return self._cut()

    @property
    def rest(self) -> str:
        return "\n".join([*self._lines, self._tail])

    def _take(self, line: str) -> bool:
        """Add a whole line; true when a piece ends with it."""
        self._lines.append(line)
        mark = _FENCE.match(line)
        if self._fence:
            if mark and mark[1].startswith(self._fence) and not line.strip().strip(self._fence[0]):
                self._fence = ""
                return True
            return False
        if mark:
            self._fence = mark[1]
            return False
        return not line.strip()

    def _cut(self) -> list[str]:
        piece, self._lines = "\n".join(self._lines), []
        return [piece.strip("\n").rstrip()] if piece.strip() else []
