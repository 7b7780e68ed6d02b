"""Turns in the full-screen shell, with the real agent and its tools; only the model is fed by the test."""

import asyncio
import json
from pathlib import Path

import machine
from machine import FakeTool, ListProvider, Params, call, calls, order, say, task_of
from tui_house import Clock, gone, house, screen_text, seen, shell, until, write

from kimi_agent.core.errors import ServerError
from kimi_agent.core.provider import Finished, Request, TextChunk, ThinkChunk, Tokens
from kimi_agent.core.tool import ToolContext

DONE = Finished("stop")
CALLS = Finished("tool_calls")


async def test_a_prompt_streams_its_answer_and_settles(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await pilot.press(*"hello", "space", *"there")
        await pilot.press("enter")
        await seen(app, pilot, "❯ hello there")
        assert app.composer.text == ""
        home.provider.feed(ThinkChunk("The user greets me."))
        await seen(app, pilot, "The user greets me.")
        home.provider.feed(TextChunk("# Hi\n\nI am **rea"))
        await seen(app, pilot, "I am **rea")
        assert "Answering" in screen_text(app)
        assert app.talk.session.running
        home.provider.feed(TextChunk("dy**."), Tokens(1200, 8, 600), DONE)
        await seen(app, pilot, "I am ready.")
        await until(pilot, lambda: not app.talk.session.running)
        await seen(app, pilot, "1.2k in, 50% cached, 8 out")
        assert "Answering" not in screen_text(app)


async def test_enter_queues_and_up_takes_back_and_ctrl_s_steers(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "one")
        await pilot.press("enter")
        await until(pilot, lambda: home.provider.requests)
        await write(app, pilot, "two")
        await pilot.press("enter")
        await seen(app, pilot, "queued  two")
        await write(app, pilot, "three")
        await pilot.press("ctrl+s")
        await seen(app, pilot, "next step  three")
        await pilot.press("up")
        await until(pilot, lambda: app.composer.text == "two")
        await gone(app, pilot, "queued  two")
        await pilot.press("enter")
        await seen(app, pilot, "queued  two")
        home.provider.feed(TextChunk("first"), DONE)
        await seen(app, pilot, "❯ three")  # joined the running turn
        home.provider.feed(TextChunk("second"), DONE)
        await seen(app, pilot, "❯ two")  # the next turn
        home.provider.feed(TextChunk("third"), DONE)
        await until(pilot, lambda: not app.talk.session.running)
        assert [message.text for message in home.provider.requests[-1].messages if message.role == "user"] == [
            "one", "three", "two",
        ]  # fmt: skip


async def test_escape_interrupts_and_keeps_what_was_said(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        home.provider.feed(TextChunk("half an answer"))
        await seen(app, pilot, "half an answer")
        await pilot.press("escape")
        await seen(app, pilot, "Interrupted.")
        assert not app.talk.session.running
        assert "half an answer" in screen_text(app)


async def test_ctrl_c_interrupts_then_clears_then_leaves_when_pressed_twice(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        await until(pilot, lambda: home.provider.requests)
        await pilot.press("ctrl+c")
        await seen(app, pilot, "Interrupted.")
        await write(app, pilot, "draft")
        await pilot.press("ctrl+c")
        assert app.composer.text == ""
        await pilot.press("ctrl+c")
        await seen(app, pilot, "Ctrl-C again leaves")
        clock.now += 5
        await pilot.press("ctrl+c")
        assert app.is_running  # too late to count as twice
        await pilot.press("ctrl+c")
        await until(pilot, lambda: app.return_code is not None)
        assert app.return_code == 0


async def test_a_read_shows_its_card_and_ctrl_e_unfolds_it(tmp_path: Path) -> None:
    home = house(tmp_path)
    (tmp_path / "work" / "notes.txt").write_text("alpha\nbeta\n")
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "read")
        await pilot.press("enter")
        home.provider.feed(call("ReadFile", json.dumps({"path": "notes.txt"})), CALLS)
        await seen(app, pilot, "✓ ReadFile  notes.txt")
        assert "beta" not in screen_text(app)
        await pilot.press("ctrl+e")
        await seen(app, pilot, "beta")
        await pilot.press("ctrl+e")
        await gone(app, pilot, "beta")
        home.provider.feed(TextChunk("read it"), DONE)
        await seen(app, pilot, "read it")


async def test_a_failing_model_says_so_and_the_session_goes_on(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        home.provider.feed(TextChunk("begun"), ServerError("the model is overloaded", status=529))
        await seen(app, pilot, "the model is overloaded")
        await write(app, pilot, "again")
        await pilot.press("enter")
        home.provider.feed(TextChunk("better now"), DONE)
        await seen(app, pilot, "better now")


async def test_resume_replays_the_transcript(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "remember 42")
        await pilot.press("enter")
        home.provider.feed(ThinkChunk("easy"), TextChunk("It is **42**."), Tokens(100, 5), DONE)
        await seen(app, pilot, "It is 42.")
        await until(pilot, lambda: not app.talk.session.running)
        first = screen_text(app)
        session = app.talk.session
    await session.aclose()
    async with shell(home.agent, session_id=session.id) as (app, pilot):
        await seen(app, pilot, "It is 42.")
        assert screen_text(app) == first
        await write(app, pilot, "and")
        await pilot.press("enter")
        home.provider.feed(TextChunk("more"), DONE)
        await seen(app, pilot, "more")


async def test_twelve_silent_seconds_are_told(tmp_path: Path) -> None:
    home, clock = house(tmp_path), Clock()
    async with shell(home.agent, clock=clock) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        await seen(app, pilot, "Waiting for the model")
        clock.now += 13
        app.update_bars()
        await seen(app, pilot, "no byte for 13 s")
        home.provider.feed(TextChunk("x"))
        await gone(app, pilot, "no byte")


async def test_model_output_cannot_reach_the_terminal_as_control(tmp_path: Path) -> None:
    home = house(tmp_path)
    (tmp_path / "work" / "evil.txt").write_text("\x1b]0;owned\x07\x1b[2Jafter")
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        evil = "\x1b[31mred\x1b[0m [bold]not markup[/bold] &#27;[2J <b>html</b> \x9b5m"
        home.provider.feed(TextChunk(evil), call("ReadFile", '{"path": "evil.txt"}'), CALLS)
        await seen(app, pilot, "ReadFile")
        await pilot.press("ctrl+e")
        home.provider.feed(TextChunk("| a |\n|---|\n| \x1b[5mcell &#x9b; |\n"), DONE)
        await seen(app, pilot, "cell")
        text = screen_text(app)
        assert "[bold]not markup[/bold]" in text
        assert "<b>html</b>" in text
        assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text.replace("\n", ""))


async def test_escape_says_no_to_a_subagent_in_the_background(tmp_path: Path) -> None:
    idle, ran = asyncio.Event(), asyncio.Event()

    async def wait(params: Params, ctx: ToolContext) -> str:
        await idle.wait()
        return "now"

    async def run(params: Params, ctx: ToolContext) -> str:
        ran.set()
        return "ran"

    def reply(request: Request):
        last = request.messages[-1]
        if task_of(request) != "go":
            return calls(call("Run")) if last.role == "tool" else calls(call("Wait"))
        if "has ended" in last.text:
            return say("It was refused.")
        return say("It works.") if last.role == "tool" else calls(call("Agent", order("work", run_in_background=True)))

    home = machine.house(tmp_path, ListProvider(reply), [FakeTool("Wait", "", wait), FakeTool("Run", "run", run)])
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "go")
        await pilot.press("enter")
        await seen(app, pilot, "It works.")
        await until(pilot, lambda: not app.talk.session.running)
        idle.set()
        await seen(app, pilot, "for the subagent: some work")
        await seen(app, pilot, "Esc say no")
        await pilot.press("escape")
        await seen(app, pilot, "It was refused.")
        assert not ran.is_set()
        assert app.panel is None


async def test_a_side_question_is_told_while_it_runs_and_can_be_stopped(tmp_path: Path) -> None:
    home = house(tmp_path)
    async with shell(home.agent) as (app, pilot):
        await write(app, pilot, "/btw is it?")
        await pilot.press("enter")
        await until(pilot, lambda: home.provider.requests)
        await seen(app, pilot, "/btw …")
        assert "Esc cancel" in screen_text(app)
        await pilot.press("escape")
        await seen(app, pilot, "/btw was stopped.")
        await gone(app, pilot, "/btw …")
        assert not app.busy
