"""`/goal`: rounds until a command shows it, budgets, pauses, resumes; and the loop of kimi-cli."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from machine import House, ListProvider, Script, call, calls, of, play, say

from kimi_agent.agent.goal import declared, parse_goal
from kimi_agent.agent.history import is_well_formed
from kimi_agent.agent.session import Session
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Answer, Deny, Question
from kimi_agent.core.errors import ConfigError, ContextOverflowError
from kimi_agent.core.goal import Goal
from kimi_agent.core.provider import Request
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.shell import Shell
from kimi_agent.tools.write_file import WriteFile


def house(folder: Path, replies: Sequence[Any] | Script, rounds: int = 0) -> House:
    made = House(folder, ListProvider(replies), [Shell(), WriteFile(KnownFiles())])
    made.agent.rounds = rounds
    return made


def shell(command: str, call_id: str) -> Any:
    return calls(call("Shell", json.dumps({"command": command}), call_id))


def write(path: str, call_id: str) -> Any:
    return calls(call("WriteFile", json.dumps({"path": path, "content": "x"}), call_id))


def goal_of(session: Session) -> Goal:
    assert session.goal is not None
    return session.goal


async def nobody(question: Question) -> Answer:
    return Deny("nobody is here")


# --- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "goal"),
    [
        ("it don't fail", Goal("it don't fail", limit=25)),
        ('--check "pytest -q" all green', Goal("all green", "pytest -q", limit=25)),
        ("--turns 3 --check=make done", Goal("done", "make", limit=3)),
        ('--check "a \\"b\\"" x', Goal("x", 'a "b"', limit=25)),
        ("--check 'x y'", Goal("`x y` succeeds", "x y", limit=25)),
        ("--check “x y” z", Goal("z", "x y", limit=25)),
        ('--check "grep \\d f" x', Goal("x", "grep \\d f", limit=25)),
        ('--check "a\nb" x', Goal("x", "a\nb", limit=25)),
    ],
)
def test_arguments(typed: str, goal: Goal) -> None:
    assert parse_goal(typed) == goal


@pytest.mark.parametrize(
    "typed", ["", "--turns 0 x", "--turns -1 x", "--turns many x", "--bogus 1 x", "--check", "--turns 3"]
)
def test_wrong_arguments(typed: str) -> None:
    with pytest.raises(ConfigError):
        parse_goal(typed)


@pytest.mark.parametrize("typed", ['--check "pytest -q all', "--check 'a b\" c", '--check "" x', "--check 'a'b c"])
def test_a_check_that_cannot_be_read_is_never_another_one(typed: str) -> None:
    with pytest.raises(ConfigError, match="--check of /goal"):
        parse_goal(typed)


@pytest.mark.parametrize(
    ("text", "what", "about"),
    [
        ("Done.\nGOAL REACHED: pytest -q", "reached", "pytest -q"),
        ("**GOAL REACHED: `pytest -q`**", "reached", "pytest -q"),
        ("`GOAL BLOCKED: no network`", "blocked", "no network"),
        ("GOAL BLOCKED: x\nNo, wait.\nGOAL REACHED: make", "reached", "make"),
        ("GOAL REACHED:", "reached", ""),
        ("**GOAL REACHED:** `pytest -q`", "reached", "pytest -q"),
        ("GOAL REACHED: `pytest -q` (12 passed)", "reached", "pytest -q"),
        ("GOAL REACHED: $ pytest -q.", "reached", "pytest -q"),
        ("GOAL REACHED:\n```sh\npytest -q\n```", "reached", "pytest -q"),
        ("目标已达成。\nGOAL REACHED：pytest -q", "reached", "pytest -q"),
        ("GOAL BLOCKED: `x` is missing", "blocked", "x` is missing"),
        ("GOAL BLOCKED: <why>", "blocked", ""),
    ],
)
def test_declarations(text: str, what: str, about: str) -> None:
    found = declared(text)
    assert found is not None
    assert (found.what, found.about) == (what, about)


def test_no_declaration() -> None:
    assert declared("The goal is reached. Write `GOAL REACHED` when you are done.") is None


# --- with a check -----------------------------------------------------------------------------------------------------

CHECK = '/goal --check "test -e a -a -e b" both files are there'


async def test_the_check_decides(tmp_path: Path) -> None:
    replies = [say("Done!"), write("a", "w1"), say("Now?"), write("b", "w2"), say("Now."), say("next")]
    made = house(tmp_path, replies)
    session = made.open(ask=nobody, mode="yolo")
    events = await play(session, CHECK)
    states = [(event.goal.state, event.goal.round) for event in of(events, ev.GoalChanged)]
    assert states == [("active", 1), ("active", 2), ("active", 3), ("reached", 3)]
    assert of(events, ev.TurnEnded)[0].stop == "done"
    ran = [event.call for event in of(events, ev.ToolStarted) if event.call.name == "Shell"]
    assert [json.loads(each.arguments)["command"] for each in ran] == ["test -e a -a -e b"] * 3
    assert len({each.id for each in ran}) == 3
    assert is_well_formed(session.runner.history.messages)
    told = made.provider.requests[1].messages[-1]
    assert "`test -e a -a -e b`: exit code 1. Round 2 of 25" in told.text
    await play(session, "and now something else")
    assert goal_of(session).state == "reached"


async def test_the_check_needs_no_question_and_runs_in_the_sessions_folder(tmp_path: Path) -> None:
    (tmp_path / "work" / "sub").mkdir(parents=True)
    (tmp_path / "work" / "here").touch()
    made = house(tmp_path, [shell("cd sub", "s1"), say("done")])
    asked: list[Question] = []

    async def ask(question: Question) -> Answer:
        asked.append(question)
        return Deny("no")

    session = made.open(ask=ask)
    await play(session, "/goal --check 'test -e here' x")
    assert goal_of(session).state == "reached"
    assert len(asked) == 1  # the model's own command


async def test_the_budget_ends_it(tmp_path: Path) -> None:
    session = house(tmp_path, [say("done"), say("done")]).open()
    await play(session, "/goal --turns 2 --check false x")
    assert (goal_of(session).state, goal_of(session).told) == ("spent", "`false`: exit code 1")


async def test_plan_mode_holds_the_check_back(tmp_path: Path) -> None:
    session = house(tmp_path, [say("done")]).open(mode="plan")
    events = await play(session, "/goal --check 'touch made' x")
    assert goal_of(session).state == "paused"
    assert "Plan mode is on" in goal_of(session).told
    assert not (tmp_path / "work" / "made").exists()
    assert of(events, ev.TurnEnded)[0].stop == "done"


async def test_an_interrupt_kills_the_check_and_pauses(tmp_path: Path) -> None:
    session = house(tmp_path, [say("done")]).open()
    async for event in session.prompt("/goal --check 'sleep 100' x"):
        if isinstance(event, ev.ToolStarted):
            session.interrupt()
    assert (goal_of(session).state, goal_of(session).told) == ("paused", "the turn ended: interrupted")
    assert is_well_formed(session.runner.history.messages)


async def test_what_is_stopped_stays_so_when_its_check_succeeds(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR)
    session = house(tmp_path, [say("done")]).open()
    async for event in session.prompt(f"/goal --check 'read word < {tmp_path / 'pipe'}' x"):
        if isinstance(event, ev.ToolStarted):
            session.change_goal("stopped")
            os.write(pipe, b"now\n")
    os.close(pipe)
    assert goal_of(session).state == "stopped"


async def test_what_is_told_of_a_check_is_one_line(tmp_path: Path) -> None:
    session = house(tmp_path, [say("done")]).open()
    await play(session, "/goal --check 'true\ntrue' x")
    assert goal_of(session).told == "`true true` succeeded"


async def test_blocked_needs_a_reason(tmp_path: Path) -> None:
    session = house(tmp_path, [say("GOAL BLOCKED:"), say("GOAL BLOCKED: there is no network")]).open()
    await play(session, "/goal --check false x")
    assert (goal_of(session).state, goal_of(session).round) == ("blocked", 2)
    assert goal_of(session).told == "there is no network"


# --- without a check --------------------------------------------------------------------------------------------------


async def test_the_model_must_name_a_command_that_shows_it(tmp_path: Path) -> None:
    replies = [
        say("I think it is done."), say("GOAL REACHED: test -e a"), shell("test -e a", "s1"), say("GOAL REACHED: test -e a"),
        write("a", "w1"), say("GOAL REACHED: test -e a"), shell("test -e a", "s2"), say("GOAL REACHED: echo ok"),
        say("GOAL REACHED: `test -e a`"),
    ]  # fmt: skip
    session = house(tmp_path, replies).open()
    events = await play(session, "/goal a is there")
    assert [event.goal.told for event in of(events, ev.GoalChanged)] == [
        "",
        "no command that shows it was named",
        "`test -e a`: it was not run in this session",
        "`test -e a`: the last run of it failed",
        "`test -e a`: it ran before the last edit",
        "`echo ok`: it shows nothing by itself",
        "`test -e a` succeeded after the last edit",
    ]
    assert goal_of(session).state == "reached"


async def test_a_command_whose_exit_code_is_hidden_shows_nothing(tmp_path: Path) -> None:
    replies = [
        shell("grep x nowhere || true", "s1"),
        say("GOAL REACHED: grep x nowhere || true"),
        say("GOAL BLOCKED: no"),
    ]
    session = house(tmp_path, replies).open()
    events = await play(session, "/goal x stands there")
    told = [event.goal.told for event in of(events, ev.GoalChanged)]
    assert told == ["", "`grep x nowhere || true`: its exit code was hidden by another command", "no"]


async def test_the_instructions_are_the_programs_and_the_prompt_the_persons(tmp_path: Path) -> None:
    made = house(tmp_path, [say("GOAL BLOCKED: x")])
    await play(made.open(), "/goal  it works")
    person, agent = made.provider.requests[0].messages
    assert (person.origin, person.text) == ("person", "/goal  it works")
    assert agent.origin == "agent"
    assert "GOAL REACHED: <that very command>" in agent.text


async def test_a_goal_survives_a_resume_and_goes_on(tmp_path: Path) -> None:
    def script(request: Request) -> Any:
        if not any(message.text == "/goal resume" for message in request.messages):
            return say("hm")
        asked = request.messages[-1].role == "user"
        return shell("test -d . && true", "s1") if asked else say("GOAL REACHED: test -d .")

    made = house(tmp_path, script)
    session = made.open()
    async for event in session.prompt("/goal --turns 9 x"):
        if isinstance(event, ev.GoalChanged) and event.goal.round == 2:
            session.interrupt()
    await session.aclose()
    again = made.open(session.id)
    assert (goal_of(again).state, goal_of(again).round) == ("paused", 2)
    await play(again, "/goal resume")
    assert (goal_of(again).state, goal_of(again).round, goal_of(again).limit) == ("reached", 2, 9)


async def test_pause_lets_the_turn_end(tmp_path: Path) -> None:
    session = house(tmp_path, [[0.01, *say("hm")]]).open()
    async for event in session.prompt("/goal x"):
        if isinstance(event, ev.StepStarted):
            assert session.change_goal("paused") == []
    assert goal_of(session).state == "paused"
    with pytest.raises(ConfigError, match="not at work"):
        session.change_goal("paused")
    assert isinstance(session.change_goal("stopped")[0], ev.GoalChanged)
    with pytest.raises(ConfigError):
        session.change_goal("paused")


@pytest.mark.parametrize("text", ["/goal", "/goal stop", "/goal --turns x y", "/goal resume"])
async def test_what_is_no_goal_is_refused_without_a_request(tmp_path: Path, text: str) -> None:
    made = house(tmp_path, [])
    (end,) = of(await play(made.open(), text), ev.TurnEnded)
    assert (end.stop, end.kind) == ("error", "ConfigError")
    assert made.provider.requests == []


async def test_a_failure_of_the_provider_pauses(tmp_path: Path) -> None:
    session = house(tmp_path, [[RuntimeError("x")]]).open()
    await play(session, "/goal x")
    assert goal_of(session).state == "paused"


async def test_a_summary_in_the_middle_of_a_round_does_not_lose_its_instructions(tmp_path: Path) -> None:
    first = calls(call("Shell", '{"command": "test -d ."}'), text="looking " * 4000)
    replies = [first, [ContextOverflowError("full")], say("SUMMARY"), say("GOAL REACHED: test -d .")]
    made = house(tmp_path, replies)
    session = made.open()
    await play(session, "/goal --turns 1 there is a folder")
    assert goal_of(session).state == "reached"
    last = made.provider.requests[-1].messages
    assert "GOAL REACHED: <that very command>" in last[-1].text
    assert sum("GOAL REACHED" in message.text for message in last) == 1


async def test_steering_joins_and_the_goal_stays(tmp_path: Path) -> None:
    made = house(tmp_path, [say("hm"), say("GOAL BLOCKED: you said so")])
    session = made.open()
    async for event in session.prompt("/goal x"):
        if isinstance(event, ev.StepStarted) and event.step == 1:
            session.steer("stop it")
    await asyncio.sleep(0)
    assert goal_of(session).state == "blocked"
    assert goal_of(session).round == 1


async def test_a_round_waits_for_a_task_that_is_to_end(tmp_path: Path) -> None:
    command = json.dumps({"command": "read word < pipe", "run_in_background": True, "timeout": 60})
    made = house(tmp_path, [calls(call("Shell", command, "s1")), say("I wait."), say("GOAL REACHED: read word < pipe")])
    os.mkfifo(tmp_path / "work" / "pipe")
    pipe = os.open(tmp_path / "work" / "pipe", os.O_RDWR)
    session = made.open()
    async for event in session.prompt("/goal x"):
        if isinstance(event, ev.MessageAdded) and event.message.text == "I wait.":
            os.write(pipe, b"now\n")
    os.close(pipe)
    assert "[The background task b1 has ended: done" in made.provider.requests[2].messages[-1].text
    assert (goal_of(session).state, goal_of(session).round) == ("reached", 1)


# --- kimi-cli's loop --------------------------------------------------------------------------------------------------


async def test_a_prompt_is_repeated_until_stop(tmp_path: Path) -> None:
    replies = [say("one"), say("two"), say("<choice>CONTINUE</choice>"), say("all done <choice>STOP</choice>")]
    made = house(tmp_path, replies, rounds=-1)
    session = made.open()
    await play(session, "mend it")
    assert goal_of(session).state == "reached"
    first, second, third, _ = made.provider.requests
    assert [message.text for message in first.messages] == ["mend it"]
    assert second.messages[-1].text.startswith("mend it\n\n[This prompt is repeated")
    assert "held no choice" not in second.messages[-1].text
    assert "held no choice" in third.messages[-1].text


async def test_a_prompt_is_repeated_so_many_times(tmp_path: Path) -> None:
    made = house(tmp_path, [say("a"), say("b"), say("c")], rounds=2)
    session = made.open()
    await play(session, "mend it")
    assert len(made.provider.requests) == 3
    assert (goal_of(session).state, goal_of(session).told) == ("spent", "the model did not choose STOP")
