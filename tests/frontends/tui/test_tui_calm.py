"""What calls the person, and a screen on which nothing moves by itself."""

from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input
from tui_house import Clock, house, screen_text, shell, until, write

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option
from kimi_agent.core.message import user_message

QUESTION = Choice((Item("Which?", (Option("one"), Option("two"))),))


async def test_a_question_calls_who_looks_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with shell(house(tmp_path).agent, notifications="bell") as (app, pilot):
        written: list[str] = []
        app._driver.write = written.append
        app.post_message(events.AppFocus())
        await pilot.pause()
        asked = app.run_worker(app.asker.ask(QUESTION))
        await until(pilot, lambda: app.panel is not None)
        assert "\a" not in written
        asked.cancel()
        await until(pilot, lambda: app.panel is None)
        app.post_message(events.AppBlur())
        await pilot.pause()
        app.run_worker(app.asker.ask(QUESTION))
        await until(pilot, lambda: app.panel is not None)
        assert written.count("\a") == 1


@pytest.mark.parametrize("still", [False, True])
async def test_reduced_motion_counts_no_seconds(tmp_path: Path, still: bool):
    clock = Clock()
    async with shell(house(tmp_path).agent, clock=clock, still=still) as (app, pilot):
        app.start("go")
        await until(pilot, lambda: "Waiting for the model" in screen_text(app))
        app.feed(ev.MessageAdded(user_message("noted")))
        clock.now += 5
        app.update_bars()
        await pilot.pause()
        assert ("5.0 s" in screen_text(app)) != still
        clock.now += 20
        app.update_bars()
        await pilot.pause()
        assert ("no byte for a while" if still else "no byte for 25 s") in screen_text(app)


async def test_no_cursor_blinks(tmp_path: Path):
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("ctrl+f")
        await until(pilot, lambda: isinstance(app.focused, Input))
        assert not app.focused.cursor_blink
        await write(app, pilot, "two\r\n\x1b[31mlines\n")
        assert app.focused.value == "two lines"
