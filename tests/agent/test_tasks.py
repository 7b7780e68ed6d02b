"""The background tasks of a session: what the model is told of them and when, and what is left of them."""

import asyncio
from pathlib import Path

import pytest
from machine import Ear, FakeTool, House, ListProvider, Params, call, calls, of, play, say

from kimi_agent.agent.session import Session
from kimi_agent.agent.tasks import BackgroundTasks, told_end
from kimi_agent.agent.transcript import NoticeBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Permission, Question
from kimi_agent.core.errors import ToolError
from kimi_agent.core.task import Task, TaskEnd, last_lines
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.task_stop import TaskStop


class Work:
    """A tool `Start` whose tasks end when the test says so, and `Wait`, which waits for one."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output.txt"
        self.ends: list[asyncio.Future[TaskEnd]] = []
        self.tools = [FakeTool("Start", "run", self.start), FakeTool("Wait", "", self.wait), TaskStop()]

    async def start(self, params: Params, ctx: ToolContext) -> str:
        end: asyncio.Future[TaskEnd] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        task = ctx.tasks.start("command", f"make {params.path}", end, call_id=ctx.call_id, output=self.output)
        return f"started {task.id}"

    async def wait(self, params: Params, ctx: ToolContext) -> str:
        return (await ctx.tasks.wait(params.path, 20)).state


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def start(name: str = "x") -> list:
    return calls(call("Start", f'{{"path": "{name}"}}', f"start-{name}"))


def told(provider: ListProvider) -> list[str]:
    """What the program told the model in the last request."""
    return [m.text for m in provider.requests[-1].messages if m.role == "user" and m.origin == "agent"]


async def go_on(session: Session) -> list[ev.Event]:
    return [event async for event in session.go_on()]


async def test_an_idle_agent_is_woken_and_told_once(tmp_path: Path, work: Work):
    provider = ListProvider([start(), say("it runs"), say("it is done"), say("fine")])
    session, ear = House(tmp_path, provider, work.tools).open(), Ear()
    session.listen(ear)
    await play(session, "build it")
    assert [task.state for task in session.tasks.running()] == ["running"]
    assert not session.has_news
    work.output.write_text("line one\n\x1b[31mred\x1b[0m line two\n")
    work.ends[0].set_result(TaskEnd(False, 0))
    await ear.woken.wait()
    assert [event.task.state for event in of(ear.shown, ev.TaskChanged)] == ["done"]
    events = await go_on(session)
    assert of(events, ev.TurnEnded)[0].stop == "done"
    assert not session.has_news
    text = told(provider)[-1]
    assert text.startswith("[The background task b1 has ended: done, exit code 0, after 0 s]\nmake x\n<output>")
    assert "line one\nred line two\n</output>" in text
    assert str(work.output) in text
    assert await go_on(session) == []
    await play(session, "thanks")
    assert len(told(provider)) == 1
    await session.aclose()


async def test_an_end_joins_the_running_turn_before_its_next_step(tmp_path: Path, work: Work):
    async def finish(params: Params, ctx: ToolContext) -> str:
        work.ends[0].set_result(TaskEnd(True, 2))
        while ctx.tasks.get("b1").state == "running":
            await asyncio.sleep(0)
        return "ok"

    provider = ListProvider([start(), calls(call("Finish")), say("I see that it failed")])
    session, ear = House(tmp_path, provider, [*work.tools, FakeTool("Finish", "", finish)]).open(), Ear()
    session.listen(ear)
    await play(session, "go")
    assert "b1 has ended: failed, exit code 2" in told(provider)[0]
    assert not ear.woken.is_set()
    assert not ear.shown, "the turn has shown it"


async def test_an_end_during_the_last_reply_is_gone_on_with_at_once(tmp_path: Path, work: Work):
    def reply(request):
        if len(provider.requests) == 2:
            work.ends[0].set_result(TaskEnd(False, 0))
            return [0.0, *say("it runs")]
        return start() if len(provider.requests) == 1 else say("it is done")

    provider = ListProvider(reply)
    session = House(tmp_path, provider, work.tools).open()
    events = await play(session, "go")
    assert "b1 has ended" in told(provider)[0]
    assert of(events, ev.MessageAdded)[-1].message.text == "it is done"


async def test_who_waits_is_told_and_nobody_else(tmp_path: Path, work: Work):
    provider = ListProvider([start(), calls(call("Wait", '{"path": "b1"}')), say("done")])
    session, ear = House(tmp_path, provider, work.tools).open(), Ear()
    session.listen(ear)
    async for event in session.prompt("go"):
        if isinstance(event, ev.ToolStarted) and event.call.name == "Wait":
            work.ends[0].set_result(TaskEnd(False, 0))
    assert told(provider) == []
    assert not session.has_news
    assert not ear.woken.is_set()


async def test_an_interrupted_wait_does_not_lose_the_end_and_does_not_wake(tmp_path: Path, work: Work):
    provider = ListProvider([start(), calls(call("Wait", '{"path": "b1"}')), say("I see")])
    session, ear = House(tmp_path, provider, work.tools).open(), Ear()
    session.listen(ear)
    async for event in session.prompt("go"):
        if isinstance(event, ev.ToolStarted) and event.call.name == "Wait":
            work.ends[0].set_result(TaskEnd(False, 0))
            session.interrupt()
    while session.tasks.running():
        await asyncio.sleep(0)
    assert not ear.woken.is_set(), "the person has just said stop"
    await play(session, "what now?")
    assert "b1 has ended: done" in told(provider)[0]


async def test_stopping_needs_no_question_and_plan_mode_refuses_it(tmp_path: Path, work: Work):
    async def permit(question: Question) -> Answer:
        assert isinstance(question, Permission)
        assert question.call.name == "Start", "TaskStop needs no question"
        return Allow()

    stop = calls(call("TaskStop", '{"task_id": "b1"}', "stop"))
    provider = ListProvider([start(), say("it runs"), stop, say("not allowed"), stop, say("stopped")])
    session = House(tmp_path, provider, work.tools).open(ask=permit)
    await play(session, "go")
    session.set_mode("plan")
    await play(session, "stop it")
    assert "Plan mode is on" in str(provider.requests[-1].messages[-1])
    assert session.tasks.get("b1").state == "running"
    session.set_mode("default")
    await play(session, "stop it now")
    assert session.tasks.get("b1").state == "stopped"
    assert work.ends[0].cancelled()
    assert not any("has ended" in text for text in told(provider)), "its result has told"


async def test_a_resumed_session_says_what_was_lost(tmp_path: Path, work: Work):
    provider = ListProvider([start("a"), start("b"), say("both run"), say("I start them again")])
    house = House(tmp_path, provider, work.tools)
    session = house.open()
    await play(session, "go")
    session._log.close()  # kimi is gone, without a word
    again, ear = house.open(session.id), Ear()
    again.listen(ear)
    assert [(task.id, task.state) for task in again.tasks.list()] == [("b2", "lost"), ("b1", "lost")]
    assert not again.has_news, "a resumed session waits for the person"
    await play(again, "go on")
    lost = [text for text in told(provider) if "has ended" in text]
    assert len(lost) == 2
    assert "b1 has ended: lost: this session does not have it any more" in lost[0]
    await again.aclose()
    third = house.open(session.id)
    assert third.tasks.take_ended() == []


async def test_what_ended_with_the_session_is_told_when_it_is_taken_up(tmp_path: Path, work: Work):
    provider = ListProvider([start(), say("it runs"), say("I see")])
    house = House(tmp_path, provider, work.tools)
    session, ear = house.open(), Ear()
    session.listen(ear)
    await play(session, "go")
    await session.aclose()
    assert work.ends[0].cancelled()
    assert not ear.woken.is_set()
    again = house.open(session.id)
    assert again.tasks.get("b1").state == "stopped"
    await play(again, "go on")
    assert "b1 has ended: stopped" in told(provider)[0]


async def test_the_screen_and_a_replay_show_the_same(tmp_path: Path, work: Work):
    """An end in the middle of a streamed answer stands below it."""

    def reply(request):
        if len(provider.requests) == 2:
            work.ends[0].set_result(TaskEnd(True, 1))
            return [*say("it ")[:1], 0.0, 0.0, 0.0, *say("runs")]
        return start() if len(provider.requests) == 1 else say("it is done")

    provider = ListProvider(reply)
    session = House(tmp_path, provider, work.tools).open()
    live = Transcript()
    async for event in session.prompt("go"):
        live.apply(event)
        if isinstance(event, ev.TaskChanged) and event.task.state == "running":
            assert len(live.status.tasks) == 1
    replayed = Transcript()
    for event in session.events():
        replayed.apply(event)
    shown = [[(type(b).__name__, getattr(b, "text", "")) for b in t.blocks] for t in (live, replayed)]
    assert shown[0] == shown[1]
    notices = [block for block in live.blocks if isinstance(block, NoticeBlock)]
    assert [(n.level, n.text) for n in notices] == [("warning", "Task b1 failed, exit code 1: make x")]
    assert ("AnswerBlock", "it runs") in shown[0]
    assert live.status.tasks == replayed.status.tasks == ()


# --- the table alone --------------------------------------------------------------------------------------------------


def table(limit: int = 2) -> tuple[BackgroundTasks, list[ev.Event], asyncio.Event]:
    events: list[ev.Event] = []
    woken = asyncio.Event()
    return BackgroundTasks(events.append, woken.set, limit), events, woken


async def forever() -> TaskEnd:
    await asyncio.Event().wait()
    raise AssertionError


async def test_the_table_has_an_end(tmp_path: Path):
    tasks, _, _ = table(1)
    tasks.start("command", "one", forever(), call_id="1", output=tmp_path / "o")
    refused = asyncio.ensure_future(forever())
    with pytest.raises(ToolError, match="1 background tasks run already"):
        tasks.start("command", "two", refused, call_id="2", output=tmp_path / "o")
    await asyncio.wait([refused])
    assert refused.cancelled()
    await tasks.aclose()
    assert [task.state for task in tasks.list()] == ["stopped"]


async def test_a_bug_in_the_work_is_a_failure_with_its_words(tmp_path: Path):
    async def breaks() -> TaskEnd:
        raise KeyError("oops")

    tasks, _, woken = table()
    tasks.start("agent", "look", breaks(), call_id="1", output=tmp_path / "o")
    await woken.wait()
    (task,) = tasks.take_ended()
    assert (task.id, task.state, task.report) == ("a1", "failed", "KeyError: 'oops'")
    assert "KeyError: 'oops'" in told_end(task)


async def test_what_was_done_before_it_was_stopped_counts_as_done(tmp_path: Path):
    tasks, _, _ = table()
    end = asyncio.get_running_loop().create_future()
    tasks.start("command", "x", end, call_id="1", output=tmp_path / "o")
    await asyncio.sleep(0)
    end.set_result(TaskEnd(False, 0))
    task = await tasks.stop("b1")  # in the same moment
    assert (task.state, task.exit_code) == ("done", 0)
    with pytest.raises(ToolError, match="has ended already"):
        await tasks.stop("b1")


async def test_a_limit_ends_it(tmp_path: Path):
    tasks, _, woken = table()
    tasks.start("command", "x", forever(), call_id="1", output=tmp_path / "o", limit=0.01)
    await woken.wait()
    assert tasks.get("b1").state == "timed_out"


def test_the_end_of_an_output_begins_at_a_line(tmp_path: Path):
    file = tmp_path / "o"
    assert last_lines(file) == ""
    file.write_text("".join(f"{n}\n" for n in range(1000)))
    assert last_lines(file, 20).splitlines() == ["995", "996", "997", "998", "999"][1:]
    file.write_bytes(b"x" * 100)
    assert last_lines(file, 20) == "x" * 20


def test_what_is_told_is_clean_and_short():
    task = Task("b1", "command", "x" * 1000, "c", "/nonexistent", 0.0, None, "done", 1.0, 0, "\x1b]0;owned\x07said")
    assert told_end(task).count("\x1b") == 0
    assert "\nsaid\n" in told_end(task)
    assert len(told_end(task)) < 600
    long = Task("a1", "agent", "x", "c", "/nonexistent", 0.0, None, "done", 1.0, None, "x" * 1_000_000)
    assert len(told_end(long)) < 101_000
