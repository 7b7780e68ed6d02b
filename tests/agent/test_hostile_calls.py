"""Tools that misbehave, and worlds that change between the calls of one reply, cost no turn and cross no permission."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from machine import FakeTool, House, ListProvider, Params, call, calls, instant, of, play, say

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Answer, Deny, Permission, Question
from kimi_agent.core.display import Display
from kimi_agent.core.effect import Effect
from kimi_agent.core.tool import ToolContext
from kimi_agent.tools.shell import Shell


def results(events) -> list[str]:
    return ["".join(p.text for p in m.message.result.content) for m in of(events, ev.MessageAdded) if m.message.result]


class Broken(FakeTool):
    """Raises `error` in the step of its life named by `where`."""

    def __init__(self, where: str, error: BaseException) -> None:
        super().__init__("Broken", "write", instant())
        self._where, self._error = where, error

    def _at(self, where: str) -> None:
        if where == self._where:
            raise self._error

    def effects(self, params: Params, ctx: ToolContext) -> tuple[Effect, ...]:
        self._at("effects")
        return super().effects(params, ctx)

    async def preview(self, params: Params, ctx: ToolContext) -> Display | None:
        self._at("preview")
        return None

    async def run(self, params: Params, ctx: ToolContext) -> Any:
        self._at("run")


@pytest.mark.parametrize("where", ["effects", "preview", "run"])
@pytest.mark.parametrize(
    "error",
    [
        OSError(40, "loop"),
        RuntimeError("x"),
        asyncio.CancelledError(),
        SystemExit(3),
        BaseExceptionGroup("g", [SystemExit()]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_a_tool_raises_is_an_answer_to_the_model(tmp_path: Path, where: str, error: BaseException):
    provider = ListProvider([calls(call("Broken"), call("Look", index=1)), say("I see")])
    house = House(tmp_path, provider, [Broken(where, error), FakeTool("Look", "read", instant("fine"))])
    events = await play(house.open(), "go")
    assert events[-1].stop == "done"
    answers = results(events)
    assert len(answers) == 2
    assert sum("Internal error of Broken" in answer for answer in answers) == 1
    assert "fine" in answers


class Linked(FakeTool):
    """Its target is what the file `link` names when it is asked."""

    def __init__(self, link: Path, ran: list[str]) -> None:
        super().__init__("Write", "write", instant("written"))
        self._link, self._ran = link, ran

    def effects(self, params: Params, ctx: ToolContext) -> tuple[Effect, ...]:
        return (Effect("write", str(self._link.resolve())),)


async def test_a_call_is_judged_by_what_it_does_when_its_turn_comes(tmp_path: Path):
    link = tmp_path / "link"
    asked: list[str] = []

    async def relink(params: Params, ctx: ToolContext) -> str:
        link.symlink_to(tmp_path / "precious")
        return "ok"

    async def ask(question: Question) -> Answer:
        assert isinstance(question, Permission)
        asked.append(question.effects[0].target)
        return Allow()

    provider = ListProvider([calls(call("Run"), call("Write", index=1)), say("done")])
    house = House(tmp_path, provider, [FakeTool("Run", "run", relink), Linked(link, [])])
    events = await play(house.open(ask=ask), "go")
    assert asked == ["x", str(tmp_path / "precious")]
    assert of(events, ev.ToolStarted)[1].effects[0].target == str(tmp_path / "precious")


async def test_progress_after_the_end_is_not_shown(tmp_path: Path):
    kept: list[ToolContext] = []

    async def run(params: Params, ctx: ToolContext) -> str:
        kept.append(ctx)
        ctx.progress("while it runs")
        return "ok"

    async def late(params: Params, ctx: ToolContext) -> str:
        kept[0].progress("too late")
        return "ok"

    provider = ListProvider([calls(call("A")), calls(call("B")), say("done")])
    house = House(tmp_path, provider, [FakeTool("A", "read", run), FakeTool("B", "read", late)])
    events = await play(house.open(), "go")
    assert [e.text for e in of(events, ev.ToolProgress)] == ["while it runs"]


async def test_after_a_rejection_nothing_more_of_the_reply_is_asked(tmp_path: Path):
    asked: list[str] = []

    async def ask(question: Question) -> Answer:
        assert isinstance(question, Permission)
        asked.append(question.effects[0].target)
        return Deny()

    both = calls(call("Write", '{"path": "a"}'), call("Write", '{"path": "b"}', index=1))
    house = House(tmp_path, ListProvider([both]), [FakeTool("Write", "write", instant())])
    events = await play(house.open(ask=ask), "go")
    assert events[-1].stop == "rejected"
    assert asked == ["a"]
    assert len(results(events)) == 2


async def test_answers_to_bad_calls_are_short(tmp_path: Path):
    bad = [call("Look", '{"times": ' + "9" * 5000 + "}"), call("N" * 5000, index=1), call("Look", "x" * 5000, index=2)]
    house = House(tmp_path, ListProvider([calls(*bad), say("done")]), [FakeTool("Look", "read", instant())])
    answers = results(await play(house.open(), "go"))
    assert len(answers) == 3
    assert all(len(answer) < 200 and "sys." not in answer for answer in answers)


async def test_a_call_interrupted_while_it_is_asked_for_did_nothing(tmp_path: Path):
    async def ask(question: Question) -> Answer:
        session.interrupt()
        await asyncio.sleep(10)
        return Allow()

    house = House(tmp_path, ListProvider([calls(call("Write"))]), [FakeTool("Write", "write", instant())])
    session = house.open(ask=ask)
    events = await play(session, "go")
    assert events[-1].stop == "interrupted"
    assert results(events) == ["Interrupted by the user before the call began. Nothing was done."]


async def test_a_grant_for_a_command_holds_in_its_folder_only(tmp_path: Path):
    asked: list[tuple[str, str]] = []

    async def ask(question: Question) -> Answer:
        assert isinstance(question, Permission)
        asked.append((question.cwd, question.session_scope))
        return Allow("session")

    sub = tmp_path / "work" / "sub"
    commands = ['{"command": "ls"}', '{"command": "ls"}', '{"command": "cd sub"}', '{"command": "ls"}']
    replies = [*(calls(call("Shell", command)) for command in commands), say("done")]
    house = House(tmp_path, ListProvider(replies), [Shell()])
    sub.mkdir()
    await play(house.open(ask=ask), "go")
    work = str(tmp_path / "work")
    exact = "this exact command"
    assert asked == [(work, exact), (work, exact), (str(sub), f"{exact} in {sub}")]
