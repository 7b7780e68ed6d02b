"""Placeholders as vim's keys see them: one character each, so that no motion ends in one and no operator cuts one."""

import re
from collections.abc import Sequence

from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.tui.vim.text import Place

_FIRST, _LAST = 0x100000, 0x10FFFD
"""Characters of Unicode's last private plane, which mean nothing to anybody else."""
_CODES = re.compile(f"[{chr(_FIRST)}-{chr(_LAST)}]")


class Wholes:
    """A code never changes its meaning: vim's registers and its undo hold codes."""

    def __init__(self, pastes: Pastes) -> None:
        self._pastes = pastes
        self._codes: dict[str, str] = {}
        self._shown: dict[str, str] = {}

    def coded(self, lines: Sequence[str], place: Place) -> tuple[list[str], Place]:
        """The lines with codes for the placeholders, and where the cursor is in them."""
        row, column = place
        head = self._line(lines[row][:column])
        return [self._line(line) for line in lines], (row, len(head))

    def decoded(self, text: str) -> str:
        return _CODES.sub(lambda match: self._shown.get(match[0], match[0]), text)

    def _line(self, line: str) -> str:
        for start, end in reversed(self._pastes.spans(line)):
            line = line[:start] + self._code(line[start:end]) + line[end:]
        return line

    def _code(self, placeholder: str) -> str:
        if placeholder not in self._codes:
            code = chr(_FIRST + len(self._codes))
            self._codes[placeholder], self._shown[code] = code, placeholder
        return self._codes[placeholder]
