"""Races and odd moments of a turn: late texts, loops in disguise, undo after steering, compaction where it hurts."""

import asyncio
from pathlib import Path

import pytest
from machine import FakeTool, House, ListProvider, Params, call, calls, instant, of, play, say

from kimi_agent import commands
from kimi_agent.agent.transcript import PromptBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.provider import Request, TextChunk
from kimi_agent.core.tool import ToolContext


def transcript_of(events) -> Transcript:
    transcript = Transcript()
    for event in events:
        transcript.apply(event)
    return transcript


def prompts(transcript: Transcript) -> list[str]:
    return [block.text for block in transcript.blocks if isinstance(block, PromptBlock) and not block.void]


async def test_a_text_queued_while_the_end_is_drawn_is_not_left_behind(tmp_path: Path):
    provider = ListProvider([say("one"), say("two")])
    session = House(tmp_path, provider).open()
    events = []
    async for event in session.prompt("first"):
        events.append(event)
        if isinstance(event, ev.TurnEnded) and len(provider.requests) == 1:
            await asyncio.sleep(0.01)  # a slow screen: the turn's task is over, the front end does not know
            assert session.running
            session.queue("second")
    assert [e.stop for e in of(events, ev.TurnEnded)] == ["done", "done"]
    assert provider.requests[1].messages[-1].text == "second"


async def test_texts_of_an_interrupted_turn_are_shown_where_they_wait(tmp_path: Path):
    session = House(tmp_path, ListProvider([[TextChunk("x"), 5.0]])).open()
    last = None
    async for event in session.prompt("first"):
        if isinstance(event, ev.TextDelta):
            session.steer("also this")
            session.interrupt()
        last = event if isinstance(event, ev.Queued) else last
    assert last == ev.Queued((), ("also this",))
    assert session.take_back() == "also this"


async def test_undo_after_steering_takes_the_whole_turn_from_the_screen(tmp_path: Path):
    provider = ListProvider([say("one"), calls(call("Look")), say("two")])

    async def run(params: Params, ctx: ToolContext) -> str:
        session.steer("and quickly")
        return "ok"

    session = House(tmp_path, provider, [FakeTool("Look", "read", run)]).open()
    await play(session, "first")
    await play(session, "second")
    assert prompts(transcript_of(session.events())) == ["first", "second", "and quickly"]
    session.undo()
    assert prompts(transcript_of(session.events())) == ["first"]
    assert [m.text for m in session.runner.history.messages] == ["first", "one"]


def test_calls_that_stream_out_of_order_are_drawn_in_order(tmp_path: Path):
    from kimi_agent.core.message import Message, ToolCall

    transcript = transcript_of([ev.StepStarted(1), ev.CallDelta(1, "B", 1), ev.CallDelta(0, "A", 1)])
    transcript.apply(
        ev.MessageAdded(Message("assistant", (ToolCall("a", "A", "{}"), ToolCall("b", "B", "{}")), "model"))
    )
    transcript.apply(ev.ToolStarted(ToolCall("b", "B", "{}")))
    states = {block.call.name: block.state for block in transcript.blocks}
    assert states == {"A": "waiting", "B": "running"}
    assert transcript.blocks[0].call.name == "A", "as in a replay"


async def test_two_commands_in_turn_are_a_circle_too(tmp_path: Path):
    names = ["A", "B"]
    provider = ListProvider(lambda request: calls(call(names[len(provider.requests) % 2])))
    tools = [FakeTool("A", "run", instant("same")), FakeTool("B", "run", instant("same"))]
    events = await play(House(tmp_path, provider, tools).open(), "go")
    assert events[-1].stop == "repeated_calls"
    assert len(provider.requests) < 25


async def test_tests_between_different_edits_are_no_circle(tmp_path: Path):
    def reply(request: Request):
        n = len(provider.requests)
        if n > 40:
            return say("done")
        return calls(call("Test") if n % 2 else call("Edit", f'{{"text": "{n}"}}'))

    provider = ListProvider(reply)
    tools = [FakeTool("Test", "run", instant("1 failed")), FakeTool("Edit", "write", instant("edited"))]
    events = await play(House(tmp_path, provider, tools).open(), "go")
    assert events[-1].stop == "done"
    assert not any("has now been called" in e.message.text for e in of(events, ev.MessageAdded))


class Shell:
    def __init__(self, session) -> None:
        self.session, self.shown = session, []

    def show(self, text: str) -> None:
        self.shown.append(text)

    def apply(self, events) -> None:
        pass


@pytest.mark.parametrize("text", ["/undo  ", "/undo ²", "/undo 0", "/undo -1", "/undo 99999999999999999999", "/undo x"])
async def test_undo_with_odd_numbers(tmp_path: Path, text: str):
    shell = Shell(House(tmp_path, ListProvider([])).open())
    assert await commands.execute(shell, text)  # type: ignore[arg-type]
    assert shell.shown
