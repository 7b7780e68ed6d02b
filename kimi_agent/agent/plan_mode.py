"""Plan mode: what the model is told of it, the plan's file, and the tools that enter and leave it.

The gate (permissions.py) is what holds: while the mode is on nothing is changed or run, but for the plan's own file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.ask import Choice, Chosen, Dismissed, Item, Option
from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.event import Mode
from kimi_agent.core.message import Message
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

MARK = "[Plan mode is "
ON = """\
{mark}on: nothing may be changed or run; every tool but the reading ones is refused. Explore, ask what the user must decide \
(AskUserQuestion), and make a plan: the steps with their files, how it is tested, what was decided. Then call ExitPlanMode with \
it (or write it to {plan_file} first, the only file that may be written). Do not end the turn before that, but to ask.]"""
ON_WITHOUT_TOOLS = (
    "{mark}on: nothing may be changed or run; every tool but the reading ones is refused. "
    "Read what you need, then answer with a plan: the steps with their files.]"
)
"""For a model that has not been told of ExitPlanMode: its plan is an answer, and the person leaves the mode."""
PLAN_LIMIT = 100_000
"""Characters of a plan at most: what is approved has been seen."""
REJECT = "Reject"
APPROVE = Option("Approve", "carry it out")


def mode_note(messages: Sequence[Message], mode: Mode, plan_file: Path, *, has_tools: bool = True) -> str | None:
    """What the model is to be told about plan mode, None when what it was told last still holds.

    `has_tools`: it knows ExitPlanMode.
    """
    told = next((m.text for m in reversed(messages) if m.origin == "agent" and m.text.startswith(MARK)), "")
    if mode == "plan" and not told.startswith(f"{MARK}on"):
        return (ON if has_tools else ON_WITHOUT_TOOLS).format(mark=MARK, plan_file=plan_file)
    if mode != "plan" and told.startswith(f"{MARK}on"):
        return f"{MARK}off: work as usual.]"
    return None


class EnterParams(Struct, frozen=True):
    pass


class EnterPlanMode:
    """The model may bind itself; only the person, or an approved plan, frees it."""

    name = "EnterPlanMode"
    description = (
        "Switch to plan mode: read only, until the user has approved a plan. For larger or risky work with several ways to go, "
        "and when the user wants to see a plan first. Not for small or clear tasks."
    )
    Params: type[Any] = EnterParams

    def __init__(self, session: "Session") -> None:
        self._session = session

    def effects(self, params: EnterParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: EnterParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: EnterParams, ctx: ToolContext) -> ToolOutput:
        if self._session.mode == "plan":
            return text_output("Plan mode is on already.", Plain("plan mode"))
        self._session.set_mode("plan")
        return text_output("Plan mode is on.", Plain("plan mode"))


class PlanOption(Struct, frozen=True):
    label: Annotated[str, Meta(max_length=80)]
    description: str = ""


class ExitParams(Struct, frozen=True):
    plan: Annotated[str, Meta(description="The whole plan in Markdown; empty: what is in the plan file")] = ""
    options: Annotated[
        tuple[PlanOption, ...], Meta(max_length=3, description="2 or 3 ways to go, when the user is to choose")
    ] = ()


class ExitPlanMode:
    """Shows the plan to the person, who approves it, chooses a way, asks for changes or rejects it."""

    name = "ExitPlanMode"
    description = (
        "Show the finished plan to the user for review. When it is approved, plan mode ends and you carry it out."
    )
    Params: type[Any] = ExitParams

    def __init__(self, session: "Session") -> None:
        self._session, self._file = session, session.plan_file
        self._reviewed = False  # a review is open

    def effects(self, params: ExitParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: ExitParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: ExitParams, ctx: ToolContext) -> ToolOutput:
        if self._session.mode != "plan":
            raise ToolError("Plan mode is off: there is nothing to approve. Go on with the work.")
        if self._reviewed:
            raise ToolError(
                "A plan is being reviewed already. Give one plan, with options where there are several ways."
            )
        plan = self._plan(params.plan)
        if self._session.mode_before_plan == "afk":
            return self._approved("Nobody is there to review it", "")
        options = [
            Option(o.label.strip(), o.description) for o in params.options if o.label.strip() not in ("", REJECT)
        ]
        options = options or [APPROVE]
        item = Item(
            "Carry out this plan? (Something else: say what to change.)",
            (*options, Option(REJECT, "stay in plan mode")),
            "Plan",
        )
        self._reviewed = True
        try:
            answer = await ctx.ask(Choice((item,), plan))
        finally:
            self._reviewed = False
        still_on = self._session.mode == "plan"  # the person may have ended it meanwhile
        mode = "Plan mode stays on." if still_on else "Plan mode is off."
        if isinstance(answer, Dismissed):
            text = (
                f"The plan was not approved: {answer.reason} {mode} End the turn; if the user has not seen the plan, your "
                f"answer is the whole plan. It is kept in {self._file}."
            )
            return text_output(text, Plain("not reviewed"))
        said = answer.values[0][0].strip() if isinstance(answer, Chosen) and answer.values and answer.values[0] else ""
        if said in [option.label for option in options]:
            return self._approved("The user approved the plan", "" if options == [APPROVE] else said)
        if said in ("", REJECT):
            text = f"The user rejected the plan. {mode} Ask in one sentence what they want instead, and end the turn."
            return text_output(text, Plain("rejected"), is_error=True)
        text = f"The user wants changes: {said}\n" + (
            f"Revise the plan and call ExitPlanMode again. {mode}" if still_on else mode
        )
        return text_output(text, Plain(f"to be revised: {said}"), is_error=True)

    def _plan(self, given: str) -> str:
        """The plan, which is in its file from now on. Raises ToolError when there is none, or too much."""
        try:
            if given.strip():
                self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._file.write_text(given, encoding="utf-8", errors="replace")
            plan = self._file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            raise ToolError(f"There is no plan yet: give it in `plan`, or write it to {self._file}.") from None
        except OSError as error:
            raise ToolError(f"The plan file {self._file} cannot be used: {error.strerror}") from None
        if not plan.strip():
            raise ToolError("The plan is empty.")
        if len(plan) > PLAN_LIMIT:
            raise ToolError(f"The plan has {len(plan)} characters. Nobody reviews more than {PLAN_LIMIT}: shorten it.")
        return plan

    def _approved(self, how: str, option: str) -> ToolOutput:
        if self._session.mode == "plan":  # else the person has chosen another one meanwhile
            self._session.set_mode(self._session.mode_before_plan)
        chosen = f", with the option {option!r}" if option else ""
        text = f"{how}{chosen}. Plan mode is off. Carry the plan out; it is kept in {self._file}."
        return text_output(text, Plain(f"approved{': ' + option if option else ''}"))
