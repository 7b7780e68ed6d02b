"""Untrusted text made safe to show: `plain` or `coloured` for the terminal, `visible` for what a person is about to approve."""

import re
import unicodedata

# A control string ends at its terminator or, unterminated, at the end of its line: linear, and it hides no later line.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]?"  # two-character escapes and charset selections
)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_COLOUR = re.compile(r"(\x1b\[[0-9;:]{0,64}m)")
_DIRTY = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_UNUSUAL = re.compile(r"[^\n\t -~]")
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# Drawn as nothing or as a blank although their category says letter, mark or symbol.
_BLANKS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U00016fe4\U0001d159"
) | frozenset(map(chr, range(0xFE00, 0xFE10)))


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey: only printable characters, newlines and tabs remain.

    Escape sequences (7 and 8 bit, also cut short) vanish, and so do the characters that turn the direction of writing;
    CR LF becomes LF, of a line rewritten with CR the last state stays (a progress bar), lone surrogates become U+FFFD.
    Give it whole texts, not chunks: a sequence may span chunks.
    """
    if not _DIRTY.search(text):
        return text
    return _last_states(_cleaned(text))


def coloured(text: str) -> str:
    """As `plain`, but colours and weights (SGR sequences) remain: they change how later text looks and nothing else.

    The text must be drawn by what ends them, as rich does: they are not closed.
    """
    if not _DIRTY.search(text):
        return text
    parts = _COLOUR.split(text)  # every other one is a colour
    return _last_states("".join(part if number % 2 else _cleaned(part) for number, part in enumerate(parts)))


def _cleaned(text: str) -> str:
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", _SEQUENCE.sub("", text)))


def _last_states(text: str) -> str:
    """Of a line that was rewritten with CR, what stood there at last."""
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))


def visible(text: str) -> str:
    """`text` with every character that could mislead a reader spelled out as ⟨U+XXXX⟩.

    That is controls, bidirectional and zero-width characters, tags, variation selectors, unassigned and private ones,
    and every space but the plain one. Newlines and tabs stay: a command of several lines is shown as such.
    """
    return _UNUSUAL.sub(_spelled_out, text) if _UNUSUAL.search(text) else text


def _spelled_out(match: re.Match[str]) -> str:
    char = match.group()
    hidden = char in _BLANKS or "\U000e0000" <= char <= "\U000e0fff" or unicodedata.category(char) in _HIDDEN_CATEGORIES
    return f"⟨U+{ord(char):04X}⟩" if hidden else char
