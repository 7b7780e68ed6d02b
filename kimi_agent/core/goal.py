"""A goal: a condition that the agent works towards, round by round, until it is shown to hold."""

from typing import Literal, TypeAlias

from kimi_agent.core.record import Record

GoalState: TypeAlias = Literal["active", "paused", "reached", "blocked", "spent", "stopped"]


class Goal(Record):
    """The goal of a session as it is now.

    A round ends when the model calls nothing more. `round` counts from 1, `limit` is the last one (None: no limit), `spent` means
    that it went by in vain. `check` is the person's command that decides, empty when the model names one; `repeat` marks a prompt
    that is given again until the model chooses to stop. `told` says what happened last: the command that showed the goal, or why
    it is not reached.
    """

    text: str
    check: str = ""
    state: GoalState = "active"
    round: int = 1
    limit: int | None = None
    repeat: bool = False
    told: str = ""

    @property
    def progress(self) -> str:
        """`goal 3/25`, with its state unless it is at work."""
        state = "" if self.state == "active" else f" {self.state}"
        return f"goal {self.round}{f'/{self.limit}' if self.limit else ''}{state}"
