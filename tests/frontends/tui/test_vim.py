"""Vim's keys against the real vim."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vim_program import Outcome, outcomes

from kimi_agent.frontends.tui.vim.keys import Vim
from kimi_agent.frontends.tui.vim.text import VimText

TEXTS = (
    "foo bar baz",
    '  indent (a, b) "q w" end\n\nsecond line, x.y\nx last one  ',
    "one",
    "a\n\nb",
    "x = f(a[1], {k: 'v v'})\n  y  \n}",
    "{\n  a b\n  c\n}\nend",
    'say "hi \\" there" ok',
    "a  b   c\n d e",
    "foo(bar)(baz)\n(\n  inner\n)\n",
)
MOTIONS = [*"hjklwbWBeE0^$G", "gg", *(f"{find}{to}" for find in "fFtT" for to in "ao ,(")]
OBJECTS = ["iw", "aw", "iW", "aW", 'i"', 'a"', "i(", "a(", "i{", "a{", "i[", "a["]
RECORDED = Path(__file__).with_name("vim_cases.json")
"""What the real vim made of random keys once: the test where there is none."""
CASES = 60
"""Vim takes about a tenth of a second for each."""


def ours(text: str, keys: str) -> Outcome:
    vim = Vim(VimText(text.split("\n")), mode="normal")
    for key in keys:
        if vim.mode != "insert":
            vim.key({"\x1b": "escape", "\x12": "ctrl+r"}.get(key, key))
        elif key == "\x1b":
            vim.escape()
        else:
            _type(vim, key)
    if vim.mode == "insert":
        vim.escape()
    else:
        vim.key("escape")
    return "\n".join(vim.text.lines), vim.text.place


def _type(vim: Vim, character: str) -> None:
    """What the prompt does with a character in insert mode."""
    text = vim.text
    lines = [
        *text.lines[: text.row],
        text.line[: text.col] + character + text.line[text.col :],
        *text.lines[text.row + 1 :],
    ]
    vim.sync(lines, (text.row, text.col + 1))


def _command(pick: random.Random, changed: bool) -> str:
    def count() -> str:
        return pick.choice(["", "", "", "2", "3"])

    kinds = [
        lambda: count() + pick.choice(MOTIONS),
        lambda: count() + pick.choice("dy") + count() + pick.choice(MOTIONS),
        lambda: count() + "c" + pick.choice(MOTIONS) + "N",
        lambda: pick.choice("dy") + pick.choice(OBJECTS),
        lambda: "c" + pick.choice(OBJECTS) + "N",
        lambda: count() + pick.choice(["dd", "yy", "x", "X", "D", "Y", "p", "P", "p", "J", "~", "rz"]),
        lambda: pick.choice(["cc", "C", "s", "S"]) + "new",
        lambda: count() + pick.choice("iaIAoO") + "new",
        lambda: pick.choice(["ugg0", "2ugg0", "u\x12gg0"]),
        lambda: (
            "v"
            + "".join(pick.choice(MOTIONS) for _ in range(2))
            + pick.choice(["d", "y", "cN", "~", "U", "J", "o", "x"])
        ),
        lambda: "V" + pick.choice("jkGw") + pick.choice(["d", "y", "cN", "~", "J"]),
    ]
    return pick.choice([*kinds, lambda: "."] if changed else kinds)()


def _keys(pick: random.Random) -> str:
    """Commands, each ended by Esc. The cursor after u is left open: it is put elsewhere at once."""
    commands: list[str] = []
    for _ in range(pick.randrange(1, 6)):
        changed = any(command.lstrip("23")[0] in "xXDpPiaIAoO" for command in commands)
        commands.append(_command(pick, changed) + "\x1b")
    return "".join(commands)


@pytest.mark.parametrize("case", json.loads(RECORDED.read_text()), ids=lambda case: repr(case["keys"]))
def test_recorded_keys_do_what_they_did_in_vim(case: dict[str, Any]) -> None:
    assert ours(case["text"], case["keys"]) == (case["left"], tuple(case["cursor"]))


@pytest.mark.skipif(shutil.which("vim") is None, reason="there is no vim to compare with")
@settings(max_examples=1, deadline=None)
@given(st.integers(0, 2**32))
def test_random_keys_do_what_they_do_in_vim(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    pick = random.Random(seed)
    cases = [(pick.choice(TEXTS), _keys(pick)) for _ in range(CASES)]
    expected = outcomes(tmp_path_factory.mktemp("vim"), cases)
    wrong = [(case, theirs, ours(*case)) for case, theirs in zip(cases, expected, strict=True) if ours(*case) != theirs]
    assert not wrong
