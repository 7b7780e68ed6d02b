"""Placeholders for pastes: whatever is done around them, what is sent is exactly what was pasted."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from nightly import examples
from textual import events
from tui_house import house, shell, until

from kimi_agent.frontends.common.pastes import Pastes

LONG = "\n".join(f"line {n}" for n in range(20))
LONGER = f"before\n{LONG}\nbehind"
LITERAL = "[Pasted text #1 +20 lines]"
PIECES = st.sampled_from(
    [LONG, LONGER, LONG * 2, LITERAL, LITERAL * 40, "[Shell output #1 +1 line]", "x ", "[", "#1", "\n"]
)


@settings(max_examples=examples(200))
@given(st.lists(PIECES, max_size=6), st.lists(PIECES, max_size=4))
@example([LONG], [LITERAL])
@example(["x "], ["x "])
def test_a_text_goes_through_placeholders_and_back_unchanged(pasted: list[str], sent: list[str]) -> None:
    pastes = Pastes()
    pastes.attach("x")
    assert pastes.expand("".join(map(pastes.collapse, pasted))) == "".join(pasted)
    text = "".join(sent)  # out of the history, or of an editor
    assert pastes.expand(pastes.collapse_again(text)) == text
    assert pastes.expand(pastes.collapse_again(pastes.expand(pastes.collapse_again(text)))) == text


def test_short_and_empty_outputs_are_not_sought_in_other_texts() -> None:
    pastes = Pastes()
    shown = pastes.attach("ok"), pastes.attach("")
    assert pastes.collapse_again("look") == "look"
    assert pastes.expand(" ".join(shown)) == "ok "
    again = pastes.collapse(LONG), pastes.attach(LONG)
    assert again[0] != again[1]
    assert pastes.expand("".join(again)) == LONG * 2


KEYS = [
    "left", "right", "up", "down", "home", "end", "backspace", "delete", "ctrl+w", "alt+backspace", "alt+d", "ctrl+k", "ctrl+u",
    "ctrl+y", "alt+y", "alt+b", "alt+f", "shift+left", "shift+right", "alt+z", "alt+shift+z", "x", "space", "ctrl+j", "ctrl+d",
]  # fmt: skip
VIM_KEYS = [*"hjklwbeBWxXpPuD~vVdcyiaoIAO.J0", "$", "escape", "ctrl+r", *"3fr", "left", "backspace"]


@pytest.mark.parametrize(("vim", "keys"), [(False, KEYS), (True, VIM_KEYS)])
@settings(max_examples=examples(6))
@given(st.data())
def test_no_key_cuts_a_placeholder_in_half(
    tmp_path_factory: pytest.TempPathFactory, vim: bool, keys: list[str], data: st.DataObject
) -> None:
    typed = data.draw(st.lists(st.sampled_from(keys), min_size=60, max_size=120))
    import asyncio

    asyncio.run(_press(tmp_path_factory.mktemp("house"), typed, vim=vim))


async def _press(folder: Path, typed: list[str], *, vim: bool) -> None:
    async with shell(house(folder).agent, vim=vim) as (app, pilot):
        area = app.composer.area
        for number in range(6):
            app.post_message(events.Paste(f"{LONG}{number % 3}"))
            app.post_message(events.Paste(" and then\n" if number == 3 else " "))
        await until(pilot, lambda: area.text.count("[Pasted") == 6 and area.text.endswith("] "))
        for key in typed:
            await area._on_key(events.Key(key, key if len(key) == 1 else None))
            if area.popup_open:
                await pilot.pause()
            left = area.expanded_text
            assert "Pasted" not in left, area.text
            assert "lines]" not in left, area.text
        await pilot.pause()
