"""The keys of both shells: reading them, and what of a person's wishes holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.frontends.common.keymap import ACTIONS, keymap, read_key, shown
from kimi_agent.frontends.line.keys import sequence
from kimi_agent.frontends.tui.keys import EVERYWHERE, IN_PROMPT

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "interaction.md"


@pytest.mark.parametrize(
    ("text", "key", "people"),
    [
        ("Ctrl-X", "ctrl+x", "Ctrl-X"),
        ("c-x", "ctrl+x", "Ctrl-X"),
        ("alt+Z", "alt+shift+z", "Alt-Shift-Z"),
        ("ctrl++", "ctrl++", "Ctrl-+"),
        ("ctrl+underscore", "ctrl+_", "Ctrl-_"),
        ("page_up", "pageup", "Page Up"),
        ("ctrl+m", "enter", "Enter"),
        ("Shift+Tab", "shift+tab", "Shift-Tab"),
    ],
)
def test_keys_are_read_in_every_usual_spelling(text: str, key: str, people: str) -> None:
    assert read_key(text) == key
    assert shown(key) == people
    assert read_key(shown(key).replace("Page Up", "pageup")) == key


@pytest.mark.parametrize("text", ["", "C-", "hyper+x", "ctrl+", "ctrl+nothing", "x+y"])
def test_what_names_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no key"):
        read_key(text)


def test_wishes_hold_and_what_cannot_be_is_told_by_name() -> None:
    chosen = keymap(
        {
            "expand": ("ctrl+f",),
            "nosuch": ("f1",),
            "copy": ("a",),
            "tasks": (),
            "leave": ("ctrl+c",),
            "send": ("ctrl+enter",),
        }
    )
    assert chosen.keys["expand"] == ("ctrl+f",)
    assert chosen.keys["search"] == chosen.keys["tasks"] == ()
    assert chosen.keys["copy"] == ("ctrl+t",)
    assert chosen.keys["leave"] == ("ctrl+q",)
    assert chosen.keys["send"] == ("enter", "ctrl+enter")
    told = "\n".join(chosen.notices)
    for words in (
        "keys.nosuch",
        "'a' is needed for typing",
        "Ctrl-C always means stop",
        "Ctrl-F no longer means search",
    ):
        assert words in told
    assert "tasks" not in told


@given(st.dictionaries(st.sampled_from([a.name for a in ACTIONS]), st.lists(st.text(max_size=9) | st.sampled_from(
    ["ctrl+c", "enter", "ctrl+f", "f1", "alt+q", "ctrl+m", "escape", "tab"]), max_size=3).map(tuple))
)  # fmt: skip
def test_no_wish_locks_a_person_out_and_no_key_means_two_things(wishes: dict[str, tuple[str, ...]]) -> None:
    chosen = keymap(wishes)
    assert "enter" in chosen.keys["send"]
    assert "ctrl+c" in chosen.keys["stop"]
    keys = [key for found in chosen.keys.values() for key in found]
    assert len(keys) == len(set(keys))


def test_every_action_is_bound_in_both_shells() -> None:
    assert {action.name for action in ACTIONS if action.full} == EVERYWHERE.keys() | IN_PROMPT.keys()
    for action in ACTIONS:
        if action.line:
            assert any(sequence(key) for key in action.keys), action.name


def test_the_guide_lists_every_action() -> None:
    table = GUIDE.read_text().split("## Keys of your own")[1].split("\n## ")[0]
    for action in ACTIONS:
        row = f"| `{action.name}` | {', '.join(shown(key) for key in action.keys)} | {action.help} |"
        assert row in table, row
