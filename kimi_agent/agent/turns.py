"""Which turns a prompt becomes: its own, the steps of the flow that it runs, then those of what waits."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from kimi_agent.agent.goal import GoalKeeper
from kimi_agent.agent.loop import Turn, run_turn
from kimi_agent.agent.runner import Runner
from kimi_agent.agent.skills import Library
from kimi_agent.agent.waiting import Waiting
from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError, SessionError
from kimi_agent.core.message import Image, user_message

if TYPE_CHECKING:
    from kimi_agent.agent.flows import FlowRun


MAX_WOKEN = 100
"""Turns in a row that the ends of tasks may begin: a model that starts a task whenever one ends goes on for ever."""
TOO_OFTEN = (
    f"Background tasks have begun {MAX_WOKEN} turns in a row. What ends from now on is told with your next prompt."
)


class Turns(Struct):
    """Of one session. `make` makes a turn, `count` numbers turns.

    `has_news` says that there is something for the model besides the texts that wait. `woken` counts the turns since the last
    one that somebody asked for.
    """

    runner: Runner
    make: Callable[[], Turn]
    skills: Callable[[], Library]
    waiting: Waiting
    has_news: Callable[[], bool]
    count: int
    goals: GoalKeeper
    woken: int = 0

    async def run(self, text: str, images: tuple[Image, ...]) -> bool:
        """Run them all; whether the last one ended well."""
        flow: FlowRun | None = None
        step = ""
        while True:
            self.count += 1
            self.woken = 0 if text or images or flow else self.woken + 1
            if self.woken == MAX_WOKEN:
                self.runner.caller.emit(ev.Notice("warning", TOO_OFTEN))
            try:
                turn = self.make()
                if step:
                    turn.take_notes = _first(step, turn.take_notes)
                if begun := self.skills().script(text):
                    flow = begun
                    turn.expand = self._expand_first(text, begun)
                self._begin_goal(turn, text)
            except KimiError as error:
                self._refuse(text, images, error)
                return False
            try:
                end = await run_turn(turn, self.count, text, images)
            finally:
                self.waiting.end_turn()
                self.goals.end_turn()
            if end.stop != "done":
                return False
            step, following = self._next_step(flow) if flow is not None else "", None
            if not step:
                flow, following = None, self.waiting.next_prompt()
                if following is None and not self.has_news():
                    return True
            text, images = following or "", ()

    def _refuse(self, text: str, images: tuple[Image, ...], error: KimiError) -> None:
        """A turn that cannot begin."""
        emit = self.runner.caller.emit
        emit(ev.TurnStarted(self.count))
        if text or images:
            emit(ev.MessageAdded(user_message(text, images)))
        emit(ev.TurnEnded("error", error.full, type(error).__name__))

    def _begin_goal(self, turn: Turn, text: str) -> None:
        """Let a turn work on the goal that its prompt sets. Raises ConfigError for a wrong one."""
        if instructions := self.goals.begin(text):
            expand = turn.expand
            turn.expand = lambda given: instructions if given == text else expand(given)
        take_notes = turn.take_notes
        turn.take_notes = lambda: [*self.goals.notes(), *take_notes()]
        turn.max_steps = self.goals.steps(turn.max_steps)

    def _expand_first(self, text: str, flow: "FlowRun") -> Callable[[str], str]:
        """How the prompt that runs a flow is expanded, and texts that join it."""
        found = self.skills().find(text)
        first = flow.start(found[1] if found else "")
        return lambda given: first if given == text else self.skills().expand(given)

    def _next_step(self, flow: "FlowRun") -> str:
        """What the model is told of the next step of a flow; empty at its end."""
        try:
            step = flow.next(self.runner.history.messages[-1].text)
        except SessionError as error:
            self.runner.caller.emit(ev.Notice("warning", error.full))
            return ""
        return f"[The flow {flow.name} goes on]\n\n{step}" if step is not None else ""


def _first(note: str, take_notes: Callable[[], list[str]]) -> Callable[[], list[str]]:
    """`take_notes` with a note of this turn alone before the others: an interrupted turn leaves it to no later one."""
    notes = [note]

    def take() -> list[str]:
        taken = [*notes, *take_notes()]
        notes.clear()
        return taken

    return take
