"""Prove or refuse: the words that bash will run for a command line, or None where that cannot be told for certain.

Accepted are literal words, quoted or not, joined by `&&`, `||`, `;` and `|`. Everything else is refused: expansion, globbing,
redirection, grouping, assignment, comments, line breaks. Fuzzed against bash and dash (tests/trust/test_lexer.py).
"""

import re
from typing import Literal

from msgspec import Struct

from kimi_agent.rules.names import KEYWORDS

LIMIT = 4096
"""Characters of a command line that is looked at."""
Joint = Literal["", "&&", "||", ";", "|"]

# A `~` in the middle of a word stays what it is (HEAD~1): it stands for a home only at the beginning, or after `=` and `:`.
_PLAIN = r"[A-Za-z0-9_@%+:,./^=-]"
_TILDE = r"(?<=[A-Za-z0-9_^~])~"
_SINGLE = r"'[ -&(-~]*'"
_DOUBLE = r'"[ #%-\[\]-_a-~]*"'  # printable ASCII without ! " $ \ and backquote
_TOKEN = re.compile(rf" +|&&|\|\||;|\|(?!&)|(?:(?:{_PLAIN}|{_TILDE})+|{_SINGLE}|{_DOUBLE})+")
_PIECE = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^'\"]+)")


class Command(Struct, frozen=True):
    """One simple command: its words without quotes, its text as written, and what joins it to the one before."""

    words: tuple[str, ...]
    text: str
    joint: Joint = ""


def prove(line: str) -> list[Command] | None:
    """The commands that bash runs for `line`, in order (which of them it reaches depends on exit codes); None: not proved."""
    if not line or len(line) > LIMIT or not line.isascii():
        return None
    found: list[Command] = []
    words: list[str] = []
    joint: Joint = ""
    start = end = at = 0
    while at < len(line):
        token = _TOKEN.match(line, at)
        if token is None:
            return None
        text = token[0]
        if text in ("&&", "||", ";", "|"):
            if not words:
                return None
            found.append(Command(tuple(words), line[start:end], joint))
            words, joint = [], text  # type: ignore[assignment]
        elif text[0] != " ":
            word = _word(text, first=not words)
            if word is None:
                return None
            start = start if words else at
            words.append(word)
            end = token.end()
        at = token.end()
    if words:
        found.append(Command(tuple(words), line[start:end], joint))
    elif joint != ";":
        return None
    return found or None


def _word(text: str, *, first: bool) -> str | None:
    """`text` without its quotes; None where the shell may read more into it."""
    word = "".join(piece[1] or piece[2] or piece[3] or "" for piece in _PIECE.finditer(text))
    if first and ("=" in word or word[:1] in ("", "%") or text in KEYWORDS):
        return None
    return word
