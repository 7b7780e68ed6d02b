"""`/goal` in interactive shells: shown, set, queued, paused, resumed, dropped; and evidence in line mode."""

from pathlib import Path

import pytest
from machine import House, ListProvider, of, say
from test_commands import RecordingShell

from kimi_agent.agent.transcript import Transcript
from kimi_agent.commands import execute
from kimi_agent.core import event as ev
from kimi_agent.core.goal import Goal
from kimi_agent.core.message import Image
from kimi_agent.frontends.common.describe import at_work
from kimi_agent.frontends.line.draw import Drawer
from kimi_agent.frontends.line.drawn import Drawn


@pytest.fixture
def shell(tmp_path: Path) -> RecordingShell:
    return RecordingShell(House(tmp_path, ListProvider([say("GOAL BLOCKED: why not"), say("GOAL BLOCKED: still")])))


async def test_a_goal_is_set_shown_resumed_and_dropped(shell: RecordingShell) -> None:
    await execute(shell, "/goal")
    assert "There is no goal" in shell.shown[-1]
    await execute(shell, "/goal --turns 7 it works")
    assert [event.goal.state for event in of(shell.events, ev.GoalChanged)] == ["active", "blocked"]
    await execute(shell, "/goal")
    assert shell.shown[-1].startswith("- goal 1/7 blocked")
    assert "`/goal resume` goes on." in shell.shown[-1]
    await execute(shell, "/goal resume")
    assert shell.session.goal is not None
    assert (shell.session.goal.state, shell.session.goal.told) == ("blocked", "still")
    await execute(shell, "/goal stop")
    assert shell.session.goal.state == "stopped"
    await execute(shell, "/goal pause")
    assert "there is no goal" in shell.shown[-1]


async def test_wrong_options_are_told_and_nothing_begins(shell: RecordingShell) -> None:
    await execute(shell, "/goal --turns x it works")
    assert "--turns of /goal takes a number" in shell.shown[-1]
    assert shell.events == []


async def test_a_goal_waits_for_the_running_turn(tmp_path: Path) -> None:
    shell = RecordingShell(House(tmp_path, ListProvider([[0.01, *say("ok")], say("GOAL BLOCKED: x")])))
    async for event in shell.session.prompt("hi"):
        shell.events.append(event)
        if isinstance(event, ev.StepStarted) and shell.session.goal is None:
            await execute(shell, "/goal it works")
            assert shell.session.goal is None
            assert not [each for each in shell.events if isinstance(each, ev.GoalChanged)]
    assert [event.goal.state for event in of(shell.events, ev.GoalChanged)] == ["active", "blocked"]


def test_what_a_status_line_says() -> None:
    assert at_work(Goal("x", round=3, limit=25)) == "goal 3/25"
    assert at_work(Goal("x", state="paused")) == "goal 1 paused"
    assert at_work(Goal("x", state="reached")) == at_work(None) == ""


class Paper:
    """A `Screen` that keeps lines with their styles."""

    keeps_input = False

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def line(self, text: str, style: str = "") -> None:
        self.lines.append((text, style))

    def markdown(self, text: str) -> None:
        self.lines.append((text, "markdown"))

    def picture(self, image: Image) -> None:
        raise AssertionError("no picture is expected here")


def test_line_mode_prints_the_marks_and_the_rounds() -> None:
    transcript, paper = Transcript(), Paper()
    drawer = Drawer(paper, Drawn("/srv"), transcript)  # type: ignore[arg-type]
    for event in (
        ev.GoalChanged(Goal("x", round=2, limit=25, told="not yet")),
        ev.Evidence("tests pass", True, "pytest\x1b[31m -q", "12 passed", 0),
        ev.Evidence("lint is clean", False, reason="no linter ran after the last edit"),
        ev.GoalChanged(Goal("x", state="spent", round=25, limit=25, told="never")),
    ):
        drawer.draw(transcript.apply(event))
    assert [line for line in paper.lines if "\x1b" in line[0]] == []
    assert paper.lines == [
        ("Goal 2/25: not yet", "dim"),
        (paper.lines[1][0], "add"),
        ("⚠ unverified: lint is clean: no linter ran after the last edit", "warning"),
        ("Goal 25/25 spent: never", "warning"),
    ]
    assert paper.lines[1][0].startswith("✓ tests pass: `pytest")
