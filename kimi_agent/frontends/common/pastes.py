"""Long pastes and pictures stand in the prompt as placeholders; what is sent always holds their text, or names their file."""

import os
import re

from kimi_agent.core.sanitize import plain

MIN_CHARACTERS = "KIMI_CLI_PASTE_CHAR_THRESHOLD", 1000
MIN_LINES = "KIMI_CLI_PASTE_LINE_THRESHOLD", 15
"""Length from which a paste is a placeholder: the variable that says it, and what holds without it."""
MAX_NAME = 40
"""Characters of a picture's name in its placeholder."""
_PLACEHOLDER = re.compile(r"\[(?:(?:Pasted text|Shell output) #\d+ \+\d+ lines?|image #\d+ [^\[\]\n]+)\]")


class Pastes:
    """The pastes of one front end. A placeholder never changes its meaning, so an old one stays true."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}  # placeholder: what it stands for
        self._placeholders: dict[str, str] = {}  # the reverse, of what was long
        self._pictures: dict[str, str] = {}  # placeholder: the mention that it stands for
        self._min_characters, self._min_lines = _threshold(*MIN_CHARACTERS), _threshold(*MIN_LINES)

    def collapse(self, text: str) -> str:
        """A placeholder for a long text. In a short one only what looks like a placeholder is replaced by one."""
        return self._long(text) if self._is_long(text) else self._keep_literal(text)

    def _is_long(self, text: str) -> bool:
        return len(text) >= self._min_characters or text.count("\n") + 1 >= self._min_lines

    def _long(self, text: str) -> str:
        known = self._placeholders.get(text)
        if known is None:
            known = self._placeholders[text] = self._placeholder("Pasted text", text)
        return known

    def attach(self, output: str) -> str:
        """A placeholder for what a command of the shell has written, however short."""
        known = (shown for shown, text in self._texts.items() if text == output and shown.startswith("[Shell"))
        placeholder = next(known, None) or self._placeholder("Shell output", output)
        if self._is_long(output):
            self._placeholders.setdefault(output, placeholder)
        return placeholder

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

    def _placeholder(self, kind: str, text: str) -> str:
        lines = text.count("\n") + 1
        placeholder = f"[{kind} #{len(self._texts) + 1} +{lines} line{'s' if lines > 1 else ''}]"
        self._texts[placeholder] = text
        return placeholder

    def expand(self, text: str) -> str:
        """`text` with every known placeholder replaced by what was pasted; one that the person wrote themselves stays."""
        return _PLACEHOLDER.sub(self._stands_for, text)

    def _stands_for(self, match: "re.Match[str]") -> str:
        mention = self._pictures.get(match[0])
        if mention is None:
            return self._texts.get(match[0], match[0])
        inside = match.start() > 0 and not match.string[match.start() - 1].isspace()
        return f" {mention}" if inside else mention  # within a word it would be none

    def collapse_again(self, text: str) -> str:
        """Put placeholders in for the long texts and pictures that stand in an expanded text: out of an editor or the history.

        `expand` gives the same text again.
        """
        shown = {mention: placeholder for placeholder, mention in self._pictures.items()} | {
            pasted: self._long(pasted) for pasted in self._placeholders
        }
        found = sorted((known for known in shown if known in text), key=len, reverse=True)
        if not found:
            return self._keep_literal(text)
        whole = re.compile("|".join(rf"(?<!\S){re.escape(k)}" if k.startswith('@"') else re.escape(k) for k in found))
        pieces: list[str] = []
        end = 0
        for match in whole.finditer(text):
            pieces += [self._keep_literal(text[end : match.start()]), shown[match[0]]]
            end = match.end()
        return "".join([*pieces, self._keep_literal(text[end:])])

    def _keep_literal(self, text: str) -> str:
        """`text`, where what only looks like a known placeholder would not be expanded."""
        return _PLACEHOLDER.sub(lambda match: self._long(match[0]) if self.knows(match[0]) else match[0], text)

    def knows(self, placeholder: str) -> bool:
        return placeholder in self._texts or placeholder in self._pictures

    def spans(self, line: str) -> list[tuple[int, int]]:
        """Where placeholders stand in a line: the columns of their first characters, and those behind their last ones."""
        if "[" not in line:
            return []
        return [match.span() for match in _PLACEHOLDER.finditer(line) if self.knows(match[0])]

    def ending_at(self, line: str, column: int) -> int:
        """Length of the placeholder that ends at this column of a line, 0 when none does."""
        return next((end - start for start, end in self.spans(line) if end == column), 0)


def _threshold(variable: str, default: int) -> int:
    """A value that is no positive number counts as none."""
    given = os.environ.get(variable, "").strip()
    return int(given) if given.isascii() and given.isdecimal() and int(given) else default
