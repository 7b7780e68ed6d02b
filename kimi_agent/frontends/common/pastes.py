"""Long pastes stand in the prompt as placeholders; what is sent always holds their text."""

import os
import re

MIN_CHARACTERS = "KIMI_CLI_PASTE_CHAR_THRESHOLD", 1000
MIN_LINES = "KIMI_CLI_PASTE_LINE_THRESHOLD", 15
"""Length from which a paste is a placeholder: the variable that says it, and what holds without it."""
_PLACEHOLDER = re.compile(r"\[(?:Pasted text|Shell output) #(\d+) \+\d+ lines?\]")


class Pastes:
    """The pastes of one front end, by number. A number never changes its meaning, so an old placeholder stays true."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._outputs: set[int] = set()  # those that came from the shell
        self._min_characters, self._min_lines = _threshold(*MIN_CHARACTERS), _threshold(*MIN_LINES)

    def collapse(self, text: str) -> str:
        """`text` itself when it is short, else a placeholder for it."""
        lines = text.count("\n") + 1
        if len(text) < self._min_characters and lines < self._min_lines:
            return text
        return self._placeholder(self._number(text))

    def attach(self, output: str) -> str:
        """A placeholder for what a command of the shell has written, however short."""
        number = self._number(output)
        self._outputs.add(number)
        return self._placeholder(number)

    def _number(self, text: str) -> int:
        number = next((known for known, pasted in self._texts.items() if pasted == text), len(self._texts) + 1)
        self._texts[number] = text
        return number

    def expand(self, text: str) -> str:
        """`text` with every known placeholder replaced by what was pasted; one that the person wrote themselves stays."""
        return _PLACEHOLDER.sub(lambda match: self._texts.get(int(match[1]), match[0]), text)

    def collapse_again(self, text: str) -> str:
        """Put placeholders back where the pasted texts still stand: after an edit elsewhere, or out of the history."""
        for number, pasted in self._texts.items():
            text = text.replace(pasted, self._placeholder(number))
        return text

    def ending_at(self, line: str, column: int) -> int:
        """Length of the placeholder that ends at this column of a line, 0 when none does."""
        return next(
            (len(m[0]) for m in _PLACEHOLDER.finditer(line) if m.end() == column and int(m[1]) in self._texts), 0
        )

    def _placeholder(self, number: int) -> str:
        lines = self._texts[number].count("\n") + 1
        kind = "Shell output" if number in self._outputs else "Pasted text"
        return f"[{kind} #{number} +{lines} line{'s' if lines > 1 else ''}]"


def _threshold(variable: str, default: int) -> int:
    """A value that is no positive number counts as none."""
    given = os.environ.get(variable, "").strip()
    return int(given) if given.isascii() and given.isdecimal() and int(given) else default
