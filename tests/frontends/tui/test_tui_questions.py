"""Questions that come while something else is open, and keys that were meant for that."""

import asyncio
from pathlib import Path

import pytest
from tui_house import Clock, gone, house, screen_text, seen, shell, until

from kimi_agent.core.ask import Allow, Deny, Option, Permission
from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.listing import Listing, Row
from kimi_agent.core.message import ToolCall


def permission(command: str) -> Permission:
    call = ToolCall("c1", "Shell", "{}")
    return Permission(call, (Effect("run", command),), Terminal(command), "make")


def listing() -> Listing:
    return Listing("Fruit", lambda: [Row("a", "apple"), Row("b", "banana")], picks="eat")


async def test_a_question_comes_above_an_open_list_which_is_there_again_after_the_answer(tmp_path: Path) -> None:
    clock = Clock()
    async with shell(house(tmp_path).agent, clock=clock) as (app, pilot):
        browsing = app.run_worker(app.commands.browse(listing()))
        await seen(app, pilot, "banana")
        asked = asyncio.create_task(app.asker.ask(permission("make all")))
        await seen(app, pilot, "make all")
        await seen(app, pilot, "Waiting for your answer")
        await pilot.press(
            "enter", "n", "backspace", "a"
        )  # meant for the list: it answers nothing, and is in its filter
        assert not asked.done()
        clock.now += 0.31
        await pilot.press("1")
        assert await asked == Allow("once")
        await gone(app, pilot, "make all")
        assert "apple" in screen_text(app)
        assert app.composer.text == ""
        await pilot.press("p", "down", "enter")
        await until(pilot, lambda: browsing.is_finished)
        assert browsing.result == "a"


async def test_escape_above_a_list_answers_the_question_and_leaves_the_list(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        browsing = app.run_worker(app.commands.browse(listing()))
        await seen(app, pilot, "banana")
        asked = asyncio.create_task(app.asker.ask(permission("make all")))
        await seen(app, pilot, "make all")
        await pilot.press("escape")
        assert await asked == Deny()
        await gone(app, pilot, "make all")
        assert "banana" in screen_text(app)
        assert not browsing.is_finished


async def test_a_list_that_ends_below_a_question_is_gone_after_the_answer(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        reading = app.run_worker(app.commands.ask_text("Password:", secret=True))
        await seen(app, pilot, "Password:")
        dialog = app.screen
        asked = asyncio.create_task(app.asker.ask(permission("make all")))
        await seen(app, pilot, "make all")
        await pilot.press("x")  # typed too early: a secret must not reach the prompt
        assert app.composer.text == ""
        dialog.dismiss(None)
        await pilot.pause()
        assert "make all" in screen_text(app)
        await pilot.press("escape")
        assert await asked == Deny()
        await gone(app, pilot, "Password:")
        await until(pilot, lambda: reading.is_finished)
        await until(pilot, lambda: app.composer.area.has_focus)


async def test_a_list_waits_for_the_question_that_is_there_already(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        asked = asyncio.create_task(app.asker.ask(permission("make all")))
        await seen(app, pilot, "make all")
        app.run_worker(app.commands.choose("Which?", [Option("one"), Option("two")]))
        await pilot.pause()
        assert "Which?" not in screen_text(app)
        app.asker.answer(Allow("once"))
        await seen(app, pilot, "Which?")
        assert asked.done()


async def test_a_search_goes_on_after_a_question(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("ctrl+f", "a")
        asked = asyncio.create_task(app.asker.ask(permission("make all")))
        await seen(app, pilot, "make all")
        await pilot.press("b", "c", "backspace")
        app.asker.answer(Allow("once"))
        await asked
        await gone(app, pilot, "make all")
        await pilot.press("d")
        assert app.focused.value == "abd"
        assert app.composer.text == ""


async def test_a_backspace_that_comes_too_early_reaches_the_draft(tmp_path: Path) -> None:
    async with shell(house(tmp_path).agent) as (app, pilot):
        await pilot.press("f", "i", "c")
        asked = asyncio.create_task(app.asker.ask(permission("make all")))
        await seen(app, pilot, "make all")
        await pilot.press("backspace", "x")
        assert app.composer.text == "fix"
        assert not asked.done()
        await pilot.press("ctrl+c")  # says no; the draft that nobody sees now stays
        assert await asked == Deny()
        assert app.composer.text == "fix"


@pytest.mark.parametrize("size", [(20, 5), (40, 12)])
async def test_the_smallest_window_says_how_many_questions_wait(tmp_path: Path, size: tuple[int, int]) -> None:
    async with shell(house(tmp_path).agent, size=size) as (app, pilot):
        asked = [asyncio.create_task(app.asker.ask(permission(f"step {n}"))) for n in range(3)]
        await until(pilot, lambda: "2 more" in " ".join(screen_text(app).split()))
        assert "step 0" in screen_text(app)
        assert "1  Yes" in screen_text(app)
        app.asker.answer(Allow("once"))
        await until(pilot, lambda: "1 more" in " ".join(screen_text(app).split()))
        for task in asked:
            task.cancel()


async def test_a_session_that_cannot_be_written_goes_on_and_says_so(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        home.agent.home.mkdir(exist_ok=True)
        (home.agent.home / "sessions").write_text("a file in the place of the folder")
        await pilot.press(*"fix", "enter")
        await until(pilot, lambda: "It goes on in memory" in " ".join(screen_text(app).split()))
        await until(pilot, lambda: home.provider.requests)
        assert app.composer.text == ""
