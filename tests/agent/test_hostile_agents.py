"""Subagents, tasks and plan mode when things come at the wrong moment."""

import asyncio
from pathlib import Path

import pytest
from machine import (
    Ear,
    FakeTool,
    House,
    ListProvider,
    Params,
    call,
    calls,
    house,
    of,
    order,
    play,
    result_of,
    say,
    task_of,
)

from kimi_agent.agent.session import Session
from kimi_agent.agent.store import encode_line
from kimi_agent.agent.traffic import Traffic
from kimi_agent.agent.transcript import Transcript
from kimi_agent.agent.turns import MAX_WOKEN
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Chosen, Deny, Question
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.provider import Finished, Model, Request, TextChunk, Tokens
from kimi_agent.core.task import TaskEnd
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.task_stop import TaskStop


def steps(request: Request) -> int:
    """How many replies the agent of this request has given since its last prompt."""
    replies = 0
    for message in reversed(request.messages):
        if message.role == "user" and message.origin == "person":
            break
        replies += message.role == "assistant"
    return replies


async def test_a_subagent_is_stopped_in_the_middle_of_a_call(tmp_path: Path):
    """Its command conflicts with everything: stopping it must not wait for that very command."""
    at_work, stopped = asyncio.Event(), asyncio.Event()

    async def for_ever(params: Params, ctx: ToolContext) -> str:
        at_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    async def until_it_works(params: Params, ctx: ToolContext) -> str:
        await at_work.wait()
        return "it works"

    def reply(request: Request):
        if task_of(request) != "go":
            return calls(call("Run"))
        return [
            calls(call("Agent", order("work", run_in_background=True), "start")),
            calls(call("Wait")),
            calls(call("TaskStop", '{"task_id":"a1"}', "stop")),
            say("end"),
        ][steps(request)]

    tools = [FakeTool("Run", "run", for_ever), FakeTool("Wait", "", until_it_works), TaskStop()]
    session = house(tmp_path, ListProvider(reply), tools).open()
    events = await asyncio.wait_for(play(session, "go"), 20)
    assert stopped.is_set()
    assert "a1 stopped" in result_of(events, "stop")
    await session.aclose()


@pytest.mark.parametrize(("mode", "ran"), [("plan", 1), ("default", 1), ("yolo", 3)])
async def test_what_waits_for_others_is_permitted_anew(tmp_path: Path, mode: ev.Mode, ran: int):
    acted: list[str] = []

    async def run(params: Params, ctx: ToolContext) -> str:
        acted.append(ctx.call_id)
        if len(acted) == 1:
            await asyncio.sleep(0.05)  # the others have come to wait
            session.set_mode(mode)
        return "ran"

    def reply(request: Request):
        if task_of(request) == "go" and not steps(request):
            return calls(*(call("Agent", order(f"work {n}"), f"a{n}", n) for n in range(3)))
        return calls(call("Run")) if "work" in task_of(request) and not steps(request) else say("end")

    async def refuse(question: Question) -> Answer:
        return Deny("not now")

    session = house(tmp_path, ListProvider(reply), [FakeTool("Run", "run", run)]).open(ask=refuse, mode="yolo")
    await play(session, "go")
    assert len(acted) == ran
    await session.aclose()


async def test_what_a_person_has_agreed_to_is_not_asked_twice_because_it_waited(tmp_path: Path):
    asked: list[Question] = []
    acted: list[str] = []
    all_asked = asyncio.Event()

    async def run(params: Params, ctx: ToolContext) -> str:
        acted.append(ctx.call_id)
        await all_asked.wait()
        return "ran"

    async def agree(question: Question) -> Answer:
        asked.append(question)
        if len(asked) == 3:
            all_asked.set()
        return Allow()

    def reply(request: Request):
        if task_of(request) == "go" and not steps(request):
            return calls(*(call("Agent", order(f"work {n}"), f"a{n}", n) for n in range(3)))
        return calls(call("Run")) if "work" in task_of(request) and not steps(request) else say("end")

    session = house(tmp_path, ListProvider(reply), [FakeTool("Run", "run", run)]).open(ask=agree)
    await asyncio.wait_for(play(session, "go"), 20)
    assert len(acted) == len(asked) == 3
    await session.aclose()


async def test_a_notice_during_a_reply_stands_below_it_live_and_replayed(tmp_path: Path):
    reply = [TextChunk("one "), 0, TextChunk("two"), Tokens(1, 1), Finished("stop")]
    session = House(tmp_path, ListProvider([reply])).open()
    live, replayed = Transcript(), Transcript()
    async for event in session.prompt("go"):
        live.apply(event)
        if event == ev.TextDelta("one "):
            session.announce(ev.Notice("info", "meanwhile"))
    for event in session.events():
        replayed.apply(event)
    assert texts(live) == texts(replayed) == ["go", "one two", "meanwhile"]
    await session.aclose()


def texts(transcript: Transcript) -> list[str]:
    return [block.text for block in transcript.blocks if not block.void]  # type: ignore[union-attr]


async def test_a_subagent_whose_model_cannot_be_reached_says_so(tmp_path: Path):
    def reply(request: Request):
        again = order("again", resume="s1")
        return [calls(call("Agent", order("x", model="other"), "a1")), calls(call("Agent", again, "a2")), say("end")][
            steps(request)
        ]

    provider = ListProvider(reply)
    made = house(tmp_path, provider)
    made.agent.models["other"] = Model("other", "other", "other")

    def make_provider(name: str):
        if name == "other":
            raise ConfigError("no key for other", "Set KEY.")
        return provider

    made.agent.make_provider = make_provider
    session = made.open()
    events = await play(session, "go")
    assert result_of(events, "a1") == result_of(events, "a2") == "no key for other. Set KEY."
    await session.aclose()


class Background:
    """Tools that leave tasks behind: `Bg`, which ends when `go` is set, with the words `said`."""

    def __init__(self, folder: Path, said: str = "done", delay: float | None = None) -> None:
        self.go, self.said, self.delay, self.folder = asyncio.Event(), said, delay, folder
        self.tool = FakeTool("Bg", "", self.start)

    async def work(self) -> TaskEnd:
        await (self.go.wait() if self.delay is None else asyncio.sleep(self.delay))
        return TaskEnd(False, 0, self.said)

    async def start(self, params: Params, ctx: ToolContext) -> str:
        ctx.tasks.start("command", self.said, self.work(), call_id=ctx.call_id, output=self.folder / "out")
        return "started"


async def test_broken_text_of_a_task_reaches_an_idle_screen_scrubbed(tmp_path: Path):
    work = Background(tmp_path, said="half \ud83d")
    session = House(tmp_path, ListProvider([calls(call("Bg")), say("ok")]), [work.tool]).open()
    ear = Ear()
    session.listen(ear)
    await play(session, "go")
    work.go.set()
    await asyncio.wait_for(ear.woken.wait(), 20)
    (changed,) = of(ear.shown, ev.TaskChanged)
    assert changed.task.title == "half �"
    encode_line(changed)
    await session.aclose()


async def test_tasks_that_breed_tasks_come_to_an_end(tmp_path: Path):
    """Each turn ends before the task that it started, and each end begins a turn."""
    work = Background(tmp_path)

    def reply(request: Request):
        return say("ok") if request.messages[-1].role == "tool" else calls(call("Bg"))

    provider = ListProvider(reply)
    session = House(tmp_path, provider, [work.tool]).open()
    ear = Ear()
    session.listen(ear)
    events = await play(session, "go")
    for _ in range(2 * MAX_WOKEN):
        ear.woken.clear()
        work.go.set()
        await asyncio.wait_for(ear.woken.wait(), 20)
        work.go.clear()
        if not session.has_news:
            break
        events += [event async for event in session.go_on()]
    assert len(of(events, ev.TurnStarted)) == MAX_WOKEN + 1
    (notice,) = of(events, ev.Notice)
    assert "in a row" in notice.text
    events = await play(session, "go on")
    assert "has ended" in "".join(e.message.text for e in of(events, ev.MessageAdded)), (
        "it is told with the next prompt"
    )
    work.go.set()
    await asyncio.wait_for(ear.woken.wait(), 20)
    assert session.has_news, "a word of the person's begins a new count"
    await session.aclose()


def plans(*texts: str) -> list:
    return calls(*(call("ExitPlanMode", f'{{"plan":"{text}"}}', f"e{n}", n) for n, text in enumerate(texts)))


async def test_one_plan_is_reviewed_at_a_time(tmp_path: Path):
    asked: list[str] = []

    async def approve(question: Question) -> Answer:
        asked.append(question.text)  # type: ignore[union-attr]
        await asyncio.sleep(0)
        return Chosen((("Approve",),))

    session = House(tmp_path, ListProvider([plans("A", "B"), say("ok")])).open(ask=approve, mode="plan")
    events = await play(session, "go")
    assert asked == ["A"]
    assert session.plan_file.read_text() == "A", "what was approved is what is kept"
    assert "reviewed already" in result_of(events, "e1")
    await session.aclose()


@pytest.mark.parametrize(("answer", "told"), [("Approve", "approved"), ("Reject", "is off"), ("shorter", "is off")])
async def test_a_mode_chosen_during_the_review_stays(tmp_path: Path, answer: str, told: str):
    async def off_and_answer(question: Question) -> Answer:
        session.set_mode("default")
        return Chosen(((answer,),))

    session: Session = House(tmp_path, ListProvider([plans("A"), say("ok")])).open(ask=off_and_answer, mode="yolo")
    session.set_mode("plan")
    events = await play(session, "go")
    assert session.mode == "default", "approving a plan does not bring YOLO back"
    assert told in result_of(events, "e0")
    await session.aclose()


async def test_a_plan_that_nobody_could_read_is_not_shown(tmp_path: Path):
    session = House(tmp_path, ListProvider([plans("x" * 100_001), say("ok")])).open(mode="plan")
    events = await play(session, "go")
    assert "shorten it" in result_of(events, "e0")
    assert session.mode == "plan"
    await session.aclose()


class Closing(ListProvider):
    closed = False

    async def aclose(self) -> None:
        self.closed = True


async def test_a_model_switch_leaves_a_subagent_its_connection_until_the_session_ends(tmp_path: Path):
    at_work, go_on = asyncio.Event(), asyncio.Event()

    async def slow(params: Params, ctx: ToolContext) -> str:
        at_work.set()
        await go_on.wait()
        return "looked"

    def reply(request: Request):
        if task_of(request) == "go":
            return say("end") if steps(request) else calls(call("Agent", order("work", run_in_background=True), "a"))
        return say("found it") if steps(request) else calls(call("Look"))

    first, second = Closing(reply), Closing(reply)
    second.model = Model("second", "second", "fake")
    made = house(tmp_path, first, [FakeTool("Look", "read", slow)])
    made.agent.models["second"] = second.model
    made.agent.make_provider = {"fake": first, "second": second}.__getitem__
    session = made.open()
    await play(session, "go")
    await asyncio.wait_for(at_work.wait(), 20)
    session.set_model("second")
    go_on.set()
    task = await session.tasks.wait("a1", 20)
    assert "found it" in task.report
    assert not first.closed
    await session.aclose()
    assert first.closed


async def test_readers_that_follow_each_other_do_not_keep_a_command_waiting_for_ever():
    traffic, order_of_acting = Traffic(), list[str]()

    async def act(name: str, effect: Effect, *, until: asyncio.Event) -> None:
        async with traffic.act([effect]):
            order_of_acting.append(name)
            await until.wait()

    gates = {name: asyncio.Event() for name in ("first", "command", "later")}
    effects = {"first": Effect("read", "/a"), "command": Effect("run", "make"), "later": Effect("read", "/b")}
    acting = []
    for name, gate in gates.items():
        acting.append(asyncio.create_task(act(name, effects[name], until=gate)))
        await asyncio.sleep(0)
    assert traffic.busy([Effect("read", "/c")]), "the command waits, and is next"
    assert not traffic.busy([Effect("stop", "b1")])
    acting[1].cancel()
    await asyncio.wait([acting[1]])
    assert not traffic.busy([Effect("read", "/c")]), "who gives up holds nobody up"
    acting.append(asyncio.create_task(act("again", Effect("run", "make"), until=gates["command"])))
    for gate in gates.values():
        gate.set()
    await asyncio.wait_for(asyncio.gather(*acting, return_exceptions=True), 20)
    assert order_of_acting == ["first", "later", "again"]
