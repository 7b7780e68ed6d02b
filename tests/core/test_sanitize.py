import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.sanitize import coloured, plain, visible

CONTROLS = [
    "\x1b",
    "\x1b[",
    "\x1b]",
    "\x1bP",
    "\x1b\\",
    "\x9b",
    "\x9d",
    "\x90",
    "\x9c",
    "\x07",
    "\r",
    "\n",
    "\r\n",
    "\b",
]
TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
OTHERS = ["[2J", "31m", "0;t", "a", " ", "\t", "漢", "\u202e", "\x00", "\x7f", "\ud800", "\udcff", "😀"]
PIECES = st.sampled_from(CONTROLS + OTHERS)
HOSTILE = st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text\n\twith tab", "plain text\n\twith tab"),
        ("a\x1b[2J\x1b]0;evil\x07b", "ab"),
        ("\x1b]52;c;cm0gLXJm\x07x", "x"),
        ("\x1b]8;;http://evil\x1b\\safe.com\x1b]8;;\x1b\\", "safe.com"),
        ("\x9b2Jx", "x"),
        ("\x1bP+q544e\x1b\\x", "x"),
        ("a\x1b]0;unterminated\nnext", "a\nnext"),
        ("\x1b[38;5;196mred\x1b[0m", "red"),
        ("\x1b(B\x1b=\x1b7x", "x"),
        ("cut \x1b[38;5", "cut "),
        ("10%\r50%\r100%\ndone", "100%\ndone"),
        ("50%\r", "50%"),
        ("one\r\ntwo\r\r\n", "one\ntwo\n"),
        ("evil\b\b\b\bgood", "evilgood"),
        ("rm \u202egpj.\u202c \u2066x\u2069 שלום", "rm gpj. x שלום"),
        ("bad \udc80 byte", "bad \ufffd byte"),
        ("bell\x07 nul\x00 del\x7f nel\x85", "bell nul del nel"),
        ("漢字 émoji 😀", "漢字 émoji 😀"),
    ],
)
def test_plain_examples(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(HOSTILE)
def test_plain_leaves_nothing_a_terminal_obeys(text: str) -> None:
    result = plain(text)
    assert all(c in "\n\t" or (unicodedata.category(c) not in ("Cc", "Cs") and c not in TURNS) for c in result)
    assert plain(result) == result
    assert result.count("\n") == text.count("\n")


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t", exclude_characters=TURNS)))
def test_plain_keeps_clean_text(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    "unit", ["\x1b[", "\x1b]", "\x90\n", "\x9b", "\r", "a\r", "\x1bP", "\x1b", "\x1b[0;", "\x90", " \x1b(("]
)
def test_plain_is_linear(unit: str) -> None:
    assert len(plain(unit * 300_000)) <= 300_000  # a quadratic pattern would run into the test's timeout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ls -la | head\n\techo", "ls -la | head\n\techo"),
        ("ls \u202e~ fr- mr", "ls ⟨U+202E⟩~ fr- mr"),
        ("l\u200bs", "l⟨U+200B⟩s"),
        ("ls\U000e0072", "ls⟨U+E0072⟩"),
        ("ls\u00a0;rm", "ls⟨U+00A0⟩;rm"),
        ("rm -rf ~\rls", "rm -rf ~⟨U+000D⟩ls"),
        ("\x1b[2J", "⟨U+001B⟩[2J"),
        ("a\u3164b\u2800c\ufe0fd\u034fe", "a⟨U+3164⟩b⟨U+2800⟩c⟨U+FE0F⟩d⟨U+034F⟩e"),
        ("x\udc80", "x⟨U+DC80⟩"),
        ("echo 漢字 é", "echo 漢字 é"),
    ],
)
def test_visible_examples(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(HOSTILE)
def test_visible_hides_nothing(text: str) -> None:
    result = visible(text)
    assert plain(result) == result
    assert all(c in "\n\t " or unicodedata.category(c)[0] not in "CZ" for c in result)
    assert len(result) >= len(text)


@given(HOSTILE)
def test_of_coloured_text_only_colours_are_obeyed(text: str) -> None:
    safe = coloured(text)
    without = re.sub(r"\x1b\[[0-9;:]*m", "", safe)
    assert without == plain(without)
    assert "\x1b" not in without


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
        ("\x1b[38:2::1:2:3mrgb\x1b[2J\x1b]0;t\x07\x1b[?25l\x1b[3A", "\x1b[38:2::1:2:3mrgb"),
        ("\x1b]8;;http://evil\x1b\\a\x1b]8;;\x1b\\", "a"),
        ("\x1b[>4;2mx\x1b[?4mx", "xx"),
        ("10%\r\x1b[32m20%\r\n", "\x1b[32m20%\n"),
    ],
)
def test_coloured(text: str, expected: str) -> None:
    assert coloured(text) == expected
