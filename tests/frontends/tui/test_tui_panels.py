"""Permission and question panels, with the real agent asking."""

import asyncio
import json
from pathlib import Path

from machine import call
from tui_house import Clock, gone, house, screen_text, seen, shell, until, write

from kimi_agent.core.ask import Allow, Choice, Chosen, Dismissed, Item, Option, Permission
from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.core.provider import Finished, TextChunk
from kimi_agent.frontends.tui.draw.blanks import blanks_of_command, blanks_of_diff

DONE, CALLS = Finished("stop"), Finished("tool_calls")


def shell_call(command: str, call_id: str = "c1"):
    return call("Shell", json.dumps({"command": command}), call_id)


async def ask_for(home, app, pilot, command: str) -> None:
    await write(app, pilot, "go")
    await pilot.press("enter")
    home.provider.feed(shell_call(command), CALLS)
    await seen(app, pilot, "wants to run a command")


async def test_one_runs_it_once_and_the_next_call_asks_again(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await ask_for(home, app, pilot, "touch one; echo made")
        assert "touch one; echo made" in screen_text(app)
        clock.now += 1
        await pilot.press("1")
        await until(pilot, lambda: len(home.provider.requests) == 2)
        assert (tmp_path / "work" / "one").exists()
        home.provider.feed(shell_call("touch two", "c2"), CALLS)
        await seen(app, pilot, "wants to run a command")
        clock.now += 1
        await pilot.press("3")
        await seen(app, pilot, "Stopped: you rejected a tool call")
        assert not (tmp_path / "work" / "two").exists()
        assert app.composer.area.has_focus


async def test_keys_typed_before_300_ms_do_not_answer_and_are_not_lost(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await ask_for(home, app, pilot, "touch made")
        clock.now += 0.2
        await pilot.press("1")
        clock.now += 0.2  # 400 ms after it appeared, but 200 ms after the last key
        await pilot.press("3", "enter")
        assert app.panel is not None
        assert not (tmp_path / "work" / "made").exists()
        assert app.composer.text == "13"
        clock.now += 0.31
        await pilot.press("1")
        await until(pilot, lambda: len(home.provider.requests) == 2)
        assert (tmp_path / "work" / "made").exists()
        assert app.composer.text == "13"


async def test_two_allows_the_session(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await ask_for(home, app, pilot, "touch one")
        clock.now += 1
        await pilot.press("2")
        await until(pilot, lambda: len(home.provider.requests) == 2)
        home.provider.feed(shell_call("touch one", "c2"), CALLS)
        await until(pilot, lambda: len(home.provider.requests) == 3)
        assert app.panel is None


async def test_four_sends_feedback_to_the_model(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await ask_for(home, app, pilot, "rm -rf x")
        clock.now += 1
        await pilot.press("4")
        await write(app, pilot, "use git clean")
        await pilot.press("enter")
        await until(pilot, lambda: len(home.provider.requests) == 2)
        result = home.provider.requests[-1].messages[-1].result
        assert result is not None
        assert "use git clean" in "".join(part.text for part in result.content)
        home.provider.feed(TextChunk("ok"), DONE)
        await seen(app, pilot, "ok")


async def test_escape_takes_the_question_away_with_the_turn(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await ask_for(home, app, pilot, "sleep 100")
        await pilot.press("escape")
        await gone(app, pilot, "wants to run a command")
        await seen(app, pilot, "Interrupted.")
        assert app.composer.area.has_focus


async def test_an_edit_is_shown_as_its_whole_diff(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    (tmp_path / "work" / "a.py").write_text("".join(f"line{n} = {n}\n" for n in range(60)))
    async with shell(home.agent, clock=clock) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        home.provider.feed(call("ReadFile", '{"path": "a.py"}'), CALLS)
        await until(pilot, lambda: len(home.provider.requests) == 2)
        lines = "".join(f"changed{n}\n" for n in range(50))
        home.provider.feed(call("WriteFile", json.dumps({"path": "a.py", "content": lines}), "c2"), CALLS)
        await seen(app, pilot, "wants to change a file")
        assert "+50" in screen_text(app)
        assert "−60" in screen_text(app)
        assert "changed49" not in screen_text(app)
        await pilot.press("pagedown", "end")
        await seen(app, pilot, "changed49")
        assert "3  No" in screen_text(app)  # the answers never scroll away
        clock.now += 1
        await pilot.press("1")
        await seen(app, pilot, "✓ WriteFile  a.py  +50 −60")


async def test_hidden_characters_of_a_command_are_spelled_out(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        home.provider.feed(shell_call("echo a\u202e\u200b\x1b[2J; rm x"), CALLS)
        await seen(app, pilot, "wants to run a command")
        assert "echo a⟨U+202E⟩⟨U+200B⟩⟨U+001B⟩[2J; rm x" in screen_text(app)


async def test_a_long_command_scrolls_and_its_end_can_be_read(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        script = "\n".join(f"echo step {n}" for n in range(80)) + "\nrm -rf precious"
        await ask_for(home, app, pilot, script)
        assert "precious" not in screen_text(app)
        await pilot.press("end")
        await seen(app, pilot, "rm -rf precious")
        await pilot.press("home", "ctrl+e")
        await seen(app, pilot, "echo step 11")  # higher now


async def test_questions_are_asked_one_at_a_time(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):

        def permission(command: str) -> Permission:
            call_ = ToolCall(command, "Shell", "{}")
            return Permission(call_, (Effect("run", command),), Terminal(command))

        first = asyncio.create_task(app.asker.ask(permission("echo first")))
        second = asyncio.create_task(app.asker.ask(permission("echo second")))
        await seen(app, pilot, "echo first")
        assert "echo second" not in screen_text(app)
        clock.now += 1
        await pilot.press("1")
        await seen(app, pilot, "echo second")
        assert await first == Allow("once")
        await pilot.press("1")  # the second panel has just appeared
        await write(app, pilot, "1")
        await pilot.click("#panel-options", offset=(4, 0))
        await pilot.pause()
        assert not second.done()
        second.cancel()
        await gone(app, pilot, "echo second")


CHOICE = Choice(
    (
        Item("Which database?", (Option("SQLite", "a file"), Option("Postgres", "a server")), "Database"),
        Item("Which extras?", (Option("cache"), Option("search"), Option("mail")), "Extras", multiple=True),
    )
)


async def test_a_question_with_tabs_and_several_answers(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        answer = asyncio.create_task(app.asker.ask(CHOICE))
        await seen(app, pilot, "Which database?")
        clock.now += 1
        await pilot.press("down", "enter")
        await seen(app, pilot, "Which extras?")
        await pilot.press("space", "3")
        await seen(app, pilot, "[x] mail")
        await pilot.press("left")
        await seen(app, pilot, "Which database?")
        clock.now += 1
        await pilot.press("right", "enter")
        await seen(app, pilot, "Enter send the answers")
        assert "Postgres" in screen_text(app)
        assert "cache, mail" in screen_text(app)
        await pilot.press("enter")  # held down too long: the review has just appeared
        await pilot.pause()
        assert not answer.done()
        await pilot.press("1")  # another answer to the first
        await seen(app, pilot, "Which database?")
        clock.now += 1
        await pilot.press("up", "enter")
        await seen(app, pilot, "Enter send the answers")
        clock.now += 1
        await pilot.press("enter")
        assert await answer == Chosen((("SQLite",), ("cache", "mail")))


async def test_a_question_may_be_answered_in_other_words_or_dismissed(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        answer = asyncio.create_task(app.asker.ask(Choice(CHOICE.items[:1])))
        await seen(app, pilot, "Something else")
        clock.now += 1
        await pilot.press("3")
        await write(app, pilot, "DuckDB")
        await pilot.press("enter")
        assert await answer == Chosen((("DuckDB",),))
        again = asyncio.create_task(app.asker.ask(CHOICE))
        await seen(app, pilot, "Which database?")
        await pilot.press("escape")
        assert await again == Dismissed()


async def test_the_enter_of_habit_after_a_digit_answers_nothing(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    items = tuple(Item(text, (Option("Yes"), Option("No")), header) for text, header in (("One?", "a"), ("Two?", "b")))
    async with shell(home.agent, clock=clock) as (app, pilot):
        answer = asyncio.create_task(app.asker.ask(Choice(items)))
        await seen(app, pilot, "One?")
        clock.now += 1
        await pilot.press("2", "enter")
        await seen(app, pilot, "Two?")
        assert not answer.done()
        clock.now += 1
        await pilot.press("down", "enter")
        await seen(app, pilot, "Enter send the answers")
        clock.now += 1
        await pilot.press("enter")
        assert await answer == Chosen((("No",), ("No",)))


async def test_a_paste_and_a_click_never_answer(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await ask_for(home, app, pilot, "touch made")
        clock.now += 10
        await write(app, pilot, "1\n")
        await pilot.click("#panel-options", offset=(4, 0))
        await pilot.pause()
        assert app.panel is not None
        assert not (tmp_path / "work" / "made").exists()
        assert app.composer.text == "1\n"
        await pilot.press("escape")


async def test_a_heredoc_of_5000_lines_and_a_line_of_100_000_characters_can_be_read_to_the_end(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        heredoc = "cat > x <<EOF\n" + "".join(f"line {n}\n" for n in range(5000)) + "EOF\n" + "x" * 100_000 + " last"
        await ask_for(home, app, pilot, heredoc)
        await pilot.press("end")
        await seen(app, pilot, " last")
        assert "3  No" in screen_text(app)


async def test_it_is_said_how_many_questions_wait(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        asked = [
            asyncio.create_task(app.asker.ask(Permission(ToolCall(str(n), "Shell", "{}"), (), Terminal(f"step {n}"))))
            for n in range(3)
        ]
        await seen(app, pilot, "2 more")
        clock.now += 1
        await pilot.press("1")
        await seen(app, pilot, "1 more")
        for task in asked:
            task.cancel()


def test_blanks_that_matter_are_drawn() -> None:
    assert blanks_of_command("a \\ \nb\t\n  c") == "a \\·\nb→\n  c"
    unified = "@@ -1,3 +1,3 @@\n same \n-\tif x:\n-old\n+    if x:\n+new \n same"
    assert blanks_of_diff(unified) == "@@ -1,3 +1,3 @@\n same \n-→if x:\n-old\n+····if x:\n+new·\n same"
