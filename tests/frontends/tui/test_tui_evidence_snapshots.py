"""How claims and goals look in the shell. `pytest -m '' --snapshot-update` accepts a new look."""

from typing import Any

import pytest
from tui_look import every_look, tool

from kimi_agent.core import event as ev
from kimi_agent.core.display import Terminal
from kimi_agent.core.goal import Goal
from kimi_agent.core.message import Message, Text, user_message

LOG: list[ev.Event] = [
    ev.ModelChanged("kimi-k2"),
    ev.TurnStarted(1),
    ev.GoalChanged(Goal("The discount is right", limit=25)),
    ev.MessageAdded(user_message("/goal the discount is right")),
    ev.MessageAdded(Message("assistant", (Text("It should be right now."),), "model")),
    ev.GoalChanged(Goal("The discount is right", round=2, limit=25, told="no command that shows it was named")),
    *tool(1, "Shell", '{"command": "pytest -q"}', Terminal("pytest -q", "12 passed in 0.03s", 0)),
    ev.MessageAdded(Message("assistant", (Text("Mended. All tests pass and `ruff check .` is clean."),), "model")),
    ev.Evidence("tests pass", True, "pytest -q", "12 passed in 0.03s", 0),
    ev.Evidence("lint is clean", False, "ruff check .", "Found 2 errors.", 1, "the last run of it failed"),
]


@every_look
def test_both_marks_and_a_goal(look: Any, size: Any, theme: str) -> None:
    assert look(size, theme, LOG)


def test_marks_without_colours(look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert look((80, 24), "dark", LOG)
