"""Whether a call may run: the gates first, then perhaps a person."""

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct

from kimi_agent.agent.permissions import session_scope
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Allow, Deny, Permission
from kimi_agent.core.display import Plain
from kimi_agent.core.errors import KimiError, ToolError
from kimi_agent.core.message import ToolCall
from kimi_agent.core.tool import ToolOutput, text_output

if TYPE_CHECKING:
    from kimi_agent.agent.calls import Caller, Prepared

WAITING = "permission_prompt"
"""What hooks call a question for permission."""
REJECTED = "The user rejected this call. Nothing was done."
NOT_RUN = "Not run: the user rejected another call of this reply."


class Rejected(Exception):
    """The person said no without a word: the turn ends."""


class Batch(Struct):
    """The calls of one reply. Once the person has rejected one, no other is asked for."""

    rejected: bool = False


async def permit(caller: "Caller", item: "Prepared", batch: Batch) -> ToolOutput | None:
    """Ask the gates, then perhaps the person. None when the call may run, else its answer. Raises Rejected."""
    verdict: Allow | Deny | ToolOutput | None = await _gates(caller, item)
    if verdict is None:
        async with caller.lock:
            verdict = await _gates(caller, item)  # "allow for this session" may have answered this one too
            if verdict is None:
                verdict = await _ask(caller, item, batch)
    if isinstance(verdict, Allow):
        return None
    if isinstance(verdict, ToolOutput):
        return verdict
    if not verdict.feedback:
        raise Rejected(REJECTED)
    return text_output(f"Not allowed: {verdict.feedback}", Plain(verdict.feedback), is_error=True)


async def _gates(caller: "Caller", item: "Prepared") -> Allow | Deny | None:
    """The first verdict; None when a person is to be asked."""
    insists = item.must_ask or caller.permissions.insists(item.call, item.effects)
    for gate in caller.gates:
        verdict = await gate(item.call, item.effects)
        if verdict is not None:
            if verdict == "ask":
                break
            if not (insists and isinstance(verdict, Allow)):  # a later gate may still forbid
                return verdict
    return Allow() if item.agreed == item.effects else None


async def _ask(caller: "Caller", item: "Prepared", batch: Batch) -> Allow | Deny | ToolOutput:
    """What the person says; an output when the preview shows that the call cannot work: nobody is asked then."""
    if batch.rejected:
        raise Rejected(NOT_RUN)
    assert item.tool is not None
    assert item.ctx is not None
    try:
        preview = await item.tool.preview(item.params, item.ctx)
    except ToolError as error:
        return text_output(str(error), is_error=True)
    except BaseException as error:
        return internal_error(item.call, error)
    cwd = next((effect.cwd for effect in item.effects if effect.cwd), str(caller.workspace.root))
    ruling = caller.permissions.ruling(item.call, item.effects)
    reason = caller.permissions.leak(item.effects) or (ruling.reason if ruling.verdict == "ask" else "")
    if caller.hooks is not None:
        title, body = f"{item.call.name} waits for your permission", ", ".join(e.target for e in item.effects)
        told = {"sink": "kimi", "notification_type": WAITING, "title": title, "body": body, "severity": "info"}
        caller.hooks.tell("Notification", WAITING, **told)
    scope, segments = session_scope(item.effects), ruling.segments
    question = Permission(item.call, item.effects, preview, scope, cwd, "", segments, reason, ruling.always)
    answer = await caller.ask(question)
    if isinstance(answer, Allow):
        item.agreed = item.effects
        if answer.scope != "once":
            caller.permissions.grant(item.effects)
        if answer.scope == "always":
            _remember(caller, item)
    batch.rejected = batch.rejected or answer == Deny()
    return answer if isinstance(answer, Allow | Deny) else Deny("The user did not answer.")


def _remember(caller: "Caller", item: "Prepared") -> None:
    try:
        if caller.permissions.rules is not None:
            caller.permissions.rules.remember(item.call, item.effects)
    except KimiError as error:
        caller.emit(ev.Notice("warning", f"The rule could not be kept, it holds for this session: {error.full}"))


def internal_error(call: ToolCall, error: BaseException) -> ToolOutput:
    """The answer of a tool that broke: it must not cost the turn. An interrupt is no breakage and is raised again."""
    task = asyncio.current_task()
    interrupted = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling()
    if interrupted or isinstance(error, KeyboardInterrupt | GeneratorExit):
        raise error
    return text_output(f"Internal error of {call.name}: {type(error).__name__}: {error}", is_error=True)
