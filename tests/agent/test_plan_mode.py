"""Plan mode: read only for every tool, left by an approved plan alone."""

import json
from pathlib import Path

import pytest
from machine import FakeTool, House, ListProvider, call, calls, instant, of, play, say

from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Choice, Chosen, Dismissed, Permission
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ContextOverflowError
from kimi_agent.tools import builtin_tools

PLAN = "# Plan\n\n1. Mend `main.py`"


class Person:
    """Answers the review with `said`, allows everything else; `reviews` are the questions of plan reviews."""

    def __init__(self, *said: str) -> None:
        self.said, self.reviews = list(said), []

    async def __call__(self, question):
        if isinstance(question, Permission):
            return Allow()
        self.reviews.append(question)
        return Chosen(((self.said.pop(0),),)) if self.said else Dismissed("Nobody is there.")


def exit_plan(**arguments) -> object:
    return call("ExitPlanMode", json.dumps(arguments), f"x{len(json.dumps(arguments))}")


def texts(request) -> str:
    return "\n".join(m.text for m in request.messages if m.role == "user")


def results(session) -> list[str]:
    return [m.result.content[0].text for m in session.runner.history.messages if m.result]


async def test_the_model_is_told_once_and_again_after_it_changed(tmp_path: Path):
    provider = ListProvider(lambda request: say("fine"))
    session = House(tmp_path, provider).open(mode="plan")
    for _ in range(2):
        await play(session, "go")
    assert texts(provider.requests[-1]).count("[Plan mode is on") == 1
    session.set_mode("default")
    await play(session, "go")
    assert texts(provider.requests[-1]).rstrip().endswith("[Plan mode is off: work as usual.]")
    session.set_mode("yolo")
    await play(session, "go")
    assert texts(provider.requests[-1]).count("[Plan mode is") == 2


async def test_a_summary_in_the_middle_of_a_turn_does_not_lose_it(tmp_path: Path):
    replies = [say("looking " * 4000), [ContextOverflowError("full")], say("SUMMARY"), say("the plan")]
    provider = ListProvider(replies)
    session = House(tmp_path, provider).open(mode="plan")
    await play(session, "go")
    events = await play(session, "go on")
    assert [e.kind for e in of(events, ev.Compacted)] == ["summary"]
    assert "[Plan mode is on" in provider.requests[-1].messages[-1].text, "the very next request knows it"


@pytest.mark.parametrize("kind", ["write", "run", "mcp"])
async def test_every_effect_but_reading_is_refused_whatever_would_allow_it(tmp_path: Path, kind: str):
    ran = []

    async def act(params, ctx) -> str:
        ran.append(kind)
        return "done"

    async def allow_all(call, effects):
        return Allow()

    provider = ListProvider([calls(call("Act")), say("I could not")])
    house = House(tmp_path, provider, [FakeTool("Act", kind, act)])
    house.agent.gates = [allow_all]  # a plugin's gate may not lift plan mode
    session = house.open(mode="plan")
    session._permissions.grant([Effect(kind, "x"), Effect(kind, str(house.agent.cwd / "x"))])
    await play(session, "go")
    assert ran == []
    assert "Plan mode is on" in results(session)[0]


async def test_a_plan_is_approved_with_an_option(tmp_path: Path):
    options = [{"label": "Small", "description": "one file"}, {"label": "Large"}]
    provider = ListProvider(
        [calls(call("EnterPlanMode")), calls(exit_plan(plan=PLAN, options=options)), calls(call("Write")), say("built")]
    )
    person = Person("Large")
    house = House(tmp_path, provider, [FakeTool("Write", "write", instant("written"))])
    session = house.open(ask=person)
    events = await play(session, "build it")
    assert [event.mode for event in of(events, ev.ModeChanged)] == ["plan", "default"]
    review = person.reviews[0]
    assert isinstance(review, Choice)
    assert review.text == PLAN
    assert [option.label for option in review.items[0].options] == ["Small", "Large", "Reject"]
    assert "with the option 'Large'" in results(session)[1]
    assert results(session)[2] == "written"
    assert session.plan_file.read_text() == PLAN
    assert [t.name for t in provider.requests[0].tools] == [t.name for t in provider.requests[-1].tools]


async def test_changes_are_asked_for_and_a_rejection_leaves_it_on(tmp_path: Path):
    provider = ListProvider([calls(exit_plan(plan=PLAN)), calls(exit_plan(plan=PLAN + "!")), say("What instead?")])
    session = House(tmp_path, provider).open(ask=Person("use fewer files", "Reject"), mode="plan")
    await play(session, "go")
    revise, reject = results(session)
    assert "use fewer files" in revise
    assert "rejected" in reject
    assert session.mode == "plan"


async def test_only_the_plan_file_may_be_written(tmp_path: Path):
    provider = ListProvider([])
    house = House(tmp_path, provider)
    house.agent.make_tools = lambda model, folder: builtin_tools()
    person = Person("Approve")
    session = house.open(ask=person, mode="plan")

    def write(path, text: str, call_id: str):
        return calls(call("WriteFile", json.dumps({"path": str(path), "content": text}), call_id))

    sneaky = session.plan_file.parent / ".." / "config.toml"
    provider._replies = [
        write("main.py", "x", "w1"),
        write(sneaky, "x", "w2"),
        write(session.plan_file, PLAN, "w3"),
        calls(exit_plan()),
        say("now I build"),
    ]
    await play(session, "go")
    assert not (house.agent.cwd / "main.py").exists()
    assert not (house.agent.home / "config.toml").exists()
    assert person.reviews[0].text == PLAN
    assert session.mode == "default"


async def test_a_link_in_the_place_of_the_plan_file_is_no_way_out(tmp_path: Path):
    house = House(tmp_path, ListProvider([]))
    house.agent.make_tools = lambda model, folder: builtin_tools()
    session = house.open(mode="plan")
    victim = tmp_path / "victim"
    victim.write_text("keep")
    session.plan_file.parent.mkdir(parents=True)
    session.plan_file.symlink_to(victim)
    content = json.dumps({"path": str(session.plan_file), "content": "gone"})
    house.provider._replies = [calls(call("WriteFile", content)), say("no")]
    await play(session, "go")
    assert victim.read_text() == "keep"


async def test_the_mode_before_comes_back_and_nobody_means_approval_only_where_all_is_allowed(tmp_path: Path):
    provider = ListProvider([calls(call("EnterPlanMode")), calls(exit_plan(plan=PLAN)), say("built")])
    session = House(tmp_path, provider).open(ask=Person(), mode="afk")
    await play(session, "go")
    assert session.mode == "afk"

    provider = ListProvider([calls(exit_plan(plan=PLAN)), say("the plan")])
    (tmp_path / "two").mkdir()
    session = House(tmp_path / "two", provider).open(ask=Person(), mode="plan")
    await play(session, "go")
    assert session.mode == "plan"
    assert "Nobody is there. Plan mode stays on." in results(session)[0]
    assert "your answer is the whole plan" in results(session)[0]


async def test_what_is_no_plan_is_told(tmp_path: Path):
    provider = ListProvider(
        [
            calls(
                exit_plan(),
            ),
            say("oh"),
            calls(exit_plan(plan=PLAN)),
            say("oh"),
        ]
    )
    session = House(tmp_path, provider).open(mode="plan")
    await play(session, "go")
    assert "There is no plan yet" in results(session)[0]
    session.set_mode("default")
    await play(session, "go")
    assert "Plan mode is off" in results(session)[1]


async def test_a_resumed_session_is_still_planning(tmp_path: Path):
    provider = ListProvider(lambda request: say("fine"))
    house = House(tmp_path, provider)
    session = house.open(mode="plan")
    await play(session, "go")
    await session.aclose()
    again = house.open(session.id)
    await play(again, "go")
    assert again.mode == "plan"
    assert texts(provider.requests[-1]).count("[Plan mode is on") == 1
