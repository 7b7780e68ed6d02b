"""Line mode without a terminal: what it prints for any events, what it replays, what it does with waiting texts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from itertools import product
from pathlib import Path

import pytest
from event_strategies import EVENTS
from fakes import FakeAgent, FakeSession, says
from hypothesis import given
from hypothesis import strategies as st
from machine import FakeTool, House, ListProvider, call, calls, instant, say

from kimi_agent.agent.transcript import Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Item, Option
from kimi_agent.core.display import Diff
from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Image, Message, ToolCall
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.look import Look
from kimi_agent.frontends.common.pictures import caption
from kimi_agent.frontends.line.draw import Drawer
from kimi_agent.frontends.line.drawn import Drawn
from kimi_agent.frontends.line.screen import Owner, Style
from kimi_agent.frontends.line.shell import LineShell
from kimi_agent.frontends.line.spoken import Spoken
from kimi_agent.frontends.line.view import REPLAYED_TURNS, View


class RecordingScreen:
    """Keeps what was printed; `answers` are typed whenever a line is wanted."""

    obeys = keeps_input = speaks = typed = False
    prompt = "> "

    def __init__(self, owner: Owner | None = None) -> None:
        self.owner = owner
        self.lines: list[str] = []
        self.restored: list[str] = []
        self.sent: list[str] = []
        self.answers: list[str] = []
        self.changed = asyncio.Event()
        self.stopped = False

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def line(self, text: str, style: Style = "") -> None:
        self.lines += text.split("\n")

    def markdown(self, text: str) -> None:
        self.line(text)

    def diff(self, diff: Diff, limit: int, number: int) -> None:
        self.line(plain(diff.unified))

    def output(self, text: str) -> None:
        self.line(plain(text))

    def lend(self) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    def picture(self, image: Image) -> None:
        self.line(caption(image))

    def control(self, sequence: str) -> None:
        self.sent.append(sequence)

    def copy(self, text: str) -> bool:
        return False

    def set_aside(self) -> None:
        pass

    def refresh(self) -> None:
        self.changed.set()
        if self.owner and self.answers and self.owner.wants_input() and not self.owner.remembers():
            self.owner.submit(self.answers.pop(0))

    def restore(self, text: str) -> None:
        self.restored.append(text)

    async def run(self) -> None:
        raise NotImplementedError

    def draft(self) -> str:
        return ""

    def stop(self) -> None:
        self.stopped = True

    async def until_idle(self) -> None:
        assert self.owner is not None
        while not self.owner.wants_input():
            self.changed.clear()
            await self.changed.wait()


def make(agent: object, **options: object) -> tuple[LineShell, RecordingScreen]:
    screens: list[RecordingScreen] = []

    def make_screen(owner: Owner) -> RecordingScreen:
        screens.append(RecordingScreen(owner))
        return screens[0]

    look = Look(**{name: options.pop(name) for name in ("notifications", "still") if name in options})  # type: ignore[arg-type]
    shell = LineShell(agent, make_screen, options, look)  # type: ignore[arg-type]
    return shell, screens[0]


async def hangs(session: FakeSession, text: str) -> AsyncIterator[ev.Event]:
    yield ev.StepStarted(1, "fake")
    yield ev.TextDelta("half")
    await asyncio.Event().wait()


@given(st.lists(EVENTS, max_size=15))
def test_whatever_happens_no_control_character_is_printed(events: list[ev.Event]) -> None:
    for replay, wording in product((False, True), (Drawn, Spoken)):
        screen, transcript = RecordingScreen(), Transcript()
        drawer = Drawer(screen, wording("/w"), transcript, "/w")
        for event in events:
            changed = transcript.apply(event)
            if not replay:
                drawer.draw(changed)
        drawer.draw(transcript.blocks, replay=replay)
        for text in [*screen.lines, *drawer.live()]:
            assert text == plain(text)
            assert "\n" not in text


def test_drawing_a_finished_block_again_prints_nothing() -> None:
    screen, transcript = RecordingScreen(), Transcript()
    drawer = Drawer(screen, Drawn("/w"), transcript, "/w")
    for event in (ev.StepStarted(1), ev.ThinkDelta("hm"), ev.TextDelta("one\n\ntwo"), ev.TurnEnded("error", "broken")):
        drawer.draw(transcript.apply(event))
    before = list(screen.lines)
    assert "one" in before
    drawer.draw([block for block in transcript.blocks if getattr(block, "done", True)])
    assert screen.lines == before


def test_a_withdrawn_reply_is_said_to_be_withdrawn() -> None:
    screen, transcript = RecordingScreen(), Transcript()
    drawer = Drawer(screen, Drawn("/w"), transcript, "/w")
    for event in (ev.StepStarted(1), ev.TextDelta("never mind\n\n"), ev.Retrying(1, 2.0, "dropped")):
        drawer.draw(transcript.apply(event))
    assert screen.lines == ["never mind", "(withdrawn: the request is made again)"]


async def test_the_last_turns_are_replayed(tmp_path: Path) -> None:
    house = House(tmp_path, ListProvider([say(f"answer {n}") for n in range(9)]))
    shell, screen = make(house.agent)
    for n in range(9):
        shell.submit(f"prompt {n}")
        await screen.until_idle()
    session_id = shell.session.id
    await house.agent.aclose()
    again, screen = make(house.agent, session_id=session_id)
    again.start("")
    first = 9 - REPLAYED_TURNS
    assert f"({first} earlier turns are not shown)" in screen.lines
    assert f"> prompt {first}" in screen.lines
    assert f"prompt {first - 1}" not in screen.text
    assert screen.text.index("answer 7") < screen.text.index("> prompt 8") < screen.text.index("answer 8")
    await house.agent.aclose()


@pytest.mark.parametrize(("typed", "ran"), [("y", True), ("n not now", False)])
async def test_a_call_of_the_real_agent_is_asked_for_in_order(tmp_path: Path, typed: str, ran: bool) -> None:
    tool = FakeTool("Write", "write", instant("written"))
    replies = [calls(call("Write", '{"path": "a"}'), text="Let me write."), say("finished")]
    house = House(tmp_path, ListProvider(replies), [tool])
    shell, screen = make(house.agent)
    screen.answers = [typed]
    shell.submit("go")
    await screen.until_idle()
    prompt, said, asked = (screen.text.index(text) for text in ("> go", "Let me write.", "Write asks for permission"))
    assert prompt < said < asked
    assert ("  ran" in screen.lines) == ran
    assert screen.lines[-1] == "finished"
    await house.agent.aclose()


async def test_texts_queued_during_a_compaction_are_run_after_it(tmp_path: Path) -> None:
    async def compacts(session: FakeSession, focus: str) -> AsyncIterator[ev.Event]:
        shell.submit("and now this")
        yield ev.Compacted(100, 10)

    agent = FakeAgent(says("done"), home=tmp_path)
    agent.compaction = compacts
    shell, screen = make(agent)
    shell.submit("/compact")
    await screen.until_idle()
    assert "history summarised: 100 -> 10 tokens" in screen.lines
    assert screen.lines[-3:] == ["", "> and now this", "done"]


async def test_what_waits_is_given_back_by_an_interrupt(tmp_path: Path) -> None:
    shell, screen = make(FakeAgent(hangs, home=tmp_path))
    shell.submit("go")
    while not shell.live():
        await asyncio.sleep(0)
    shell.submit("one")
    shell.submit("two")
    assert shell.interrupt()
    await screen.until_idle()
    assert screen.restored == ["one\n\ntwo"]
    assert shell.live() == []


async def test_a_command_that_fails_is_told_and_ends_nothing(tmp_path: Path) -> None:
    agent = FakeAgent(says("x"), home=tmp_path)

    async def broken(shell: object) -> None:
        raise ZeroDivisionError("oops")

    agent.login = broken
    shell, screen = make(agent)
    shell.submit("/login")
    await screen.until_idle()
    assert not screen.stopped
    assert any("/login" in line and "ZeroDivisionError: oops" in line for line in screen.lines)
    await shell.close()


async def test_an_unknown_session_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(SessionError):
        make(FakeAgent(says("x"), home=tmp_path), session_id="nope")


async def test_choosing(tmp_path: Path) -> None:
    shell, screen = make(FakeAgent(says("x"), home=tmp_path))
    screen.answers = ["7", "2"]
    shell.submit("/model")
    await screen.until_idle()
    assert "Type a number from 1 to 2." in screen.lines
    assert shell.session.model.name == "other"


async def test_a_long_turn_and_a_question_call_the_person():
    shell, screen = make(FakeAgent(says("done")), notifications="bell")
    shell.apply([ev.TurnEnded("done", seconds=3.0)])
    assert screen.sent == []
    shell.apply([ev.TurnEnded("done", seconds=30.0)])
    assert screen.sent == ["\a"]
    screen.answers = ["1"]
    await shell.session.ask(Choice((Item("Which?", (Option("one"), Option("two"))),)))
    assert screen.sent == ["\a", "\a"]


class Clock:
    """Seconds that the test says."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def view_of(look: Look = Look()) -> tuple[View, RecordingScreen, Clock]:  # noqa: B008 - frozen
    screen, clock = RecordingScreen(), Clock()
    session = FakeAgent(says("done")).open(ask=None)  # type: ignore[arg-type]
    session.running = True
    return View(screen, session, look, clock=clock), screen, clock  # type: ignore[arg-type]


def test_reduced_motion_does_not_count_down():
    for still, told in ((True, "Trying again soon"), (False, "Trying again in 7 s")):
        view, _, clock = view_of(Look(still=still))
        view.feed(ev.Retrying(1, 9.0, "busy"))
        clock.now += 2
        assert told in view.status(in_turn=True)[0]
        assert view.moved()
        clock.now += 1
        assert view.moved() != still


def test_how_far_the_prompt_is_read_is_told():
    view, _, _ = view_of()
    view.feed(ev.StepStarted(1))
    view.feed(ev.Prefill(512, 20_480))
    assert "Reading the prompt · 2 % of 20.5k tokens" in view.status(in_turn=True)[0]
    view.feed(ev.Prefill(20_480, 20_480))
    assert "Waiting for the model" in view.status(in_turn=True)[0]


def test_silence_of_the_model_and_the_time_of_a_running_call_are_told():
    view, _, clock = view_of()
    view.feed(ev.StepStarted(1))
    clock.now += 15
    assert "no byte for 15 s" in view.status(in_turn=True)[0]
    call = ToolCall("c1", "Shell", '{"command": "make"}')
    view.feed(ev.MessageAdded(Message("assistant", (call,), "model")))
    view.feed(ev.ToolStarted(call))
    clock.now += 12
    assert view.live(in_turn=True) == ["running Shell make (12 s)"]


def test_the_status_says_what_the_configuration_orders():
    view, _, _ = view_of(Look(status_line=("tokens", "model", "cached")))
    view.feed(ev.Usage("fake", 1000, 10, cached=500))
    assert view.status(in_turn=False) == ["", "fake", "1k in, 50% cached, 10 out", "50% cached"]
