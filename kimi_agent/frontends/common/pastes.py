"""Long pastes and pictures stand in the prompt as placeholders; what is sent always holds their text, or names their file."""

import os
import re

from kimi_agent.core.sanitize import plain

MIN_CHARACTERS = "KIMI_CLI_PASTE_CHAR_THRESHOLD", 1000
MIN_LINES = "KIMI_CLI_PASTE_LINE_THRESHOLD", 15
"""Length from which a paste is a placeholder: the variable that says it, and what holds without it."""
MAX_NAME = 40
"""Characters of a picture's name in its placeholder."""
_PLACEHOLDER = re.compile(r"\[(?:(?:Pasted text|Shell output) #(\d+) \+\d+ lines?|image #\d+ [^\[\]\n]+)\]")


class Pastes:
    """The pastes of one front end, by number. A number never changes its meaning, so an old placeholder stays true."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}
        self._outputs: set[int] = set()  # those that came from the shell
        self._pictures: dict[str, str] = {}  # placeholder: the mention that it stands for
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

    def attach_picture(self, name: str, path: str, size: tuple[int, int]) -> str:
        """A placeholder for a picture in a file, whose path holds no `"`."""
        mention = f'@"{path}"'
        known = next((placeholder for placeholder, stands_for in self._pictures.items() if stands_for == mention), None)
        if known is not None:
            return known
        shown = re.sub(r"[\[\]\s]+", " ", plain(name)).strip()[:MAX_NAME]
        placeholder = f"[image #{len(self._pictures) + 1} {shown} {size[0]}x{size[1]}]"
        self._pictures[placeholder] = mention
        return placeholder

    def _number(self, text: str) -> int:
        number = next((known for known, pasted in self._texts.items() if pasted == text), len(self._texts) + 1)
        self._texts[number] = text
        return number

    def expand(self, text: str) -> str:
        """`text` with every known placeholder replaced by what was pasted; one that the person wrote themselves stays."""
        return _PLACEHOLDER.sub(self._stands_for, text)

    def _stands_for(self, match: "re.Match[str]") -> str:
        if match[1]:
            return self._texts.get(int(match[1]), match[0])
        mention = self._pictures.get(match[0])
        if mention is None:
            return match[0]
        inside = match.start() > 0 and not match.string[match.start() - 1].isspace()
        return f" {mention}" if inside else mention  # within a word it would be none

    def collapse_again(self, text: str) -> str:
        """Put placeholders back where the pasted texts still stand: after an edit elsewhere, or out of the history."""
        for number, pasted in self._texts.items():
            text = text.replace(pasted, self._placeholder(number))
        for placeholder, mention in self._pictures.items():
            text = text.replace(mention, placeholder)
        return text

    def ending_at(self, line: str, column: int) -> int:
        """Length of the placeholder that ends at this column of a line, 0 when none does."""
        found = (match for match in _PLACEHOLDER.finditer(line) if match.end() == column)
        return next((len(match[0]) for match in found if self._known(match)), 0)

    def _known(self, match: "re.Match[str]") -> bool:
        return int(match[1]) in self._texts if match[1] else match[0] in self._pictures

    def _placeholder(self, number: int) -> str:
        lines = self._texts[number].count("\n") + 1
        kind = "Shell output" if number in self._outputs else "Pasted text"
        return f"[{kind} #{number} +{lines} line{'s' if lines > 1 else ''}]"


def _threshold(variable: str, default: int) -> int:
    """A value that is no positive number counts as none."""
    given = os.environ.get(variable, "").strip()
    return int(given) if given.isascii() and given.isdecimal() and int(given) else default
