"""The parts below the widgets: history, pastes, the asker, the guard."""

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tui_house import Clock

from kimi_agent.core.ask import Allow, Choice, Deny, Question
from kimi_agent.core.message import ToolCall
from kimi_agent.frontends.common.describe import headline
from kimi_agent.frontends.common.guard import Guard
from kimi_agent.frontends.common.history import PromptHistory
from kimi_agent.frontends.common.pastes import Pastes
from kimi_agent.frontends.tui.asking import Asker


def test_history_survives_torn_lines_and_is_private(tmp_path: Path) -> None:
    history = PromptHistory(Path("/project"), tmp_path)
    for text in ("one", "two", "two", "中文\nzwei"):
        history.add(text)
    with history.path.open("ab") as file:
        file.write(b'{"content": "torn')
    assert oct(history.path.stat().st_mode & 0o777) == "0o600"
    again = PromptHistory(Path("/project"), tmp_path)
    assert again.entries == ["one", "two", "中文\nzwei"]
    again.add("after")
    assert PromptHistory(Path("/project"), tmp_path).entries[-1] == "after"
    assert PromptHistory(Path("/elsewhere"), tmp_path).entries == []


def test_a_disk_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "user-history").write_text("a file where the folder should be")
    history = PromptHistory(Path("/project"), tmp_path)
    history.add("kept in memory")
    assert history.older("") == "kept in memory"


@given(st.lists(st.text(max_size=2000) | st.just("line\n" * 20), max_size=5))
def test_pastes_always_expand_to_what_was_pasted(texts: list[str]) -> None:
    pastes = Pastes()
    shown = [pastes.collapse(text) for text in texts]
    for text, stand_in in zip(texts, shown, strict=True):
        assert pastes.expand(f"a {stand_in} b") == f"a {pastes.expand(text)} b"
        assert len(stand_in) < 1000


async def test_a_cancelled_question_gives_way_to_the_next() -> None:
    shown: list[Question | None] = []
    asker = Asker(shown.append)
    one, two = Choice(()), Choice((), *())
    first, second = asyncio.create_task(asker.ask(one)), asyncio.create_task(asker.ask(two))
    await asyncio.sleep(0)
    asker.answer(Allow())
    assert await first == Allow()
    await asyncio.sleep(0)
    asker.answer(Deny("no"))
    asker.answer(Allow())  # a second answer to the same question changes nothing
    assert await second == Deny("no")
    assert shown == [one, two, None]
    third = asyncio.create_task(asker.ask(one))
    await asyncio.sleep(0)
    third.cancel()
    await asyncio.wait([third])
    assert shown[-2:] == [one, None]
    assert asker.count == 0


def test_the_guard_wants_300_ms_of_calm() -> None:
    clock = Clock()
    guard = Guard(clock)
    assert not guard.passes()  # not painted yet
    clock.now += 10
    assert not guard.passes()
    guard.start()
    clock.now += 0.29
    assert not guard.passes()
    clock.now += 0.29
    assert not guard.passes()  # the person is still typing
    clock.now += 0.31
    assert guard.passes()


@pytest.mark.parametrize("trick", ["\r", "\x1b[2K\r", "\u202e", "\u200b", "\x08"])
def test_no_character_of_a_command_hides_another_part_of_it(trick: str):
    command = f"rm -rf /srv; true {trick}echo hello"
    told = headline(ToolCall("c", "Shell", json.dumps({"command": command})))
    assert told.startswith("Shell rm -rf /srv; true ⟨U+")
    assert told.endswith("echo hello")
