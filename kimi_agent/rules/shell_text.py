"""Where the quotes and brackets of shell text end, and what escapes and braces stand for."""

import re
from collections.abc import Iterator

from kimi_agent.core.globs import expand_braces

BRACES = 64
"""Words that one `{a,b}` may stand for."""

_ENDS = {
    "'": re.compile(r"(?:[^'\\]|\\.)*", re.DOTALL),
    '"': re.compile(r'(?:[^"\\]|\\.)*', re.DOTALL),
    "`": re.compile(r"(?:[^`\\]|\\.)*", re.DOTALL),
}
_IN_STRING = re.compile(r'["\\]|\$[({]')
_BRACKETS = {pair: re.compile(rf"[\\'\"{re.escape(pair)}]") for pair in ("()", "{}")}
_QUOTED = {"'": re.compile("'"), '"': re.compile(r'(?:[^"\\]|\\.)*?"', re.DOTALL)}
_ANSI = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|u[0-9A-Fa-f]{1,4}|U[0-9A-Fa-f]{1,8}|[0-7]{1,3}|c.|.)", re.DOTALL)
_ANSI_CHARS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}


def closing(text: str, at: int, quote: str) -> tuple[int, str]:
    """Where the quote that was opened before `at` closes, and what it holds; the end of the text when it does not.

    The quote `'` is that of `$'...'`, in which a backslash escapes.
    """
    match = _ENDS[quote].match(text, at)
    assert match is not None
    if quote == '"' and "$(" in text[at : match.end()] + text[match.end() : match.end() + 1]:
        return _closing_with_commands(text, at)
    return match.end(), match[0]


def _closing_with_commands(text: str, at: int) -> tuple[int, str]:
    """As `closing`, for a string with `$(...)` in it, whose own quotes do not close it."""
    start = at
    while match := _IN_STRING.search(text, at):
        if match[0] == '"':
            return match.start(), text[start : match.start()]
        pair = "()" if match[0] == "$(" else "{}"
        at = match.end() + 1 if match[0] == "\\" else bracketed(text, match.end(), pair)[0] + 1
    return len(text), text[start:]


def bracketed(text: str, at: int, pair: str) -> tuple[int, str]:
    """Where a bracket of `pair` that was opened before `at` closes, and what it holds; the end of the text, as above."""
    start, depth = at, 1
    while match := _BRACKETS[pair].search(text, at):
        char = match[0]
        at = match.end()
        if char == "\\":
            at += 1
        elif char in _QUOTED:
            end = _QUOTED[char].search(text, at)
            at = end.end() if end else len(text)
        else:
            depth += 1 if char == pair[0] else -1
            if depth == 0:
                return match.start(), text[start : match.start()]
    return len(text), text[start:]


def ansi(inner: str) -> str:
    """What stands in `$'...'`."""
    return _ANSI.sub(_ansi, inner)


def _ansi(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xuU" and len(code) > 1:
        return chr(min(int(code[1:], 16), 0x10FFFF))
    if code[0] in "01234567":
        return chr(int(code, 8) & 0xFF)
    if code[0] == "c" and len(code) > 1:
        return chr(ord(code[1]) & 0x1F)
    return _ANSI_CHARS.get(code, code)


def braced(word: str) -> Iterator[str]:
    """What `{a,b}` stands for; quotes in it are not told apart. The word itself when it is too many words."""
    try:
        yield from expand_braces(word)[:BRACES]
    except ValueError:
        yield word
