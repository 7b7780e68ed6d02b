"""The loop: ask the model, run its calls, again, until it calls nothing more."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kimi_agent.agent.calls import Caller, Prepared, run_calls
from kimi_agent.agent.compactor import Compactor
from kimi_agent.agent.history import History
from kimi_agent.agent.repeats import STOP_AT, RepeatGuard
from kimi_agent.agent.reply import Reply, collect
from kimi_agent.core import event as ev
from kimi_agent.core.ask import Choice, Chosen, Item, Option
from kimi_agent.core.errors import ContextOverflowError, KimiError, PromptRefusedError, ProviderError
from kimi_agent.core.message import Image, ToolResult, user_message
from kimi_agent.core.provider import Provider, Request, ToolSpec

if TYPE_CHECKING:
    from kimi_agent.agent.hooks import Hooks

GO_ON = "Go on"
CUT_OFF = {
    "length": "The answer was cut off at the model's output limit.",
    "content_filter": "The provider's content filter cut the answer off.",
}


@dataclass(slots=True)
class Turn:
    """Everything that one turn works with. `emit` applies an event to the history, logs it and shows it."""

    provider: Provider
    system: str
    tools: tuple[ToolSpec, ...]
    history: History
    caller: Caller
    compactor: Compactor
    emit: Callable[[ev.Event], None]
    take_steering: Callable[[], list[str]]
    expand: Callable[[str], str]
    session_id: str
    max_steps: int = 300
    thinking: str | None = None
    max_output: int | None = None
    repeats: RepeatGuard = field(default_factory=RepeatGuard)
    steps: int = 0
    used_ids: set[str] = field(default_factory=set)
    hooks: "Hooks | None" = None
    held_back: bool = False  # a hook has made it go on when it was done

    def request(self) -> Request:
        return Request(self.session_id, self.system, self.history.messages, self.tools, self.max_output, self.thinking)


async def run_turn(turn: Turn, number: int, text: str, images: tuple[Image, ...] = ()) -> ev.TurnEnded:
    """Run one turn to its end and emit `TurnEnded`. Raises CancelledError when it is interrupted, with the history whole."""
    started = time.monotonic()
    stop: ev.Stop = "error"
    error = kind = ""
    try:
        stop, error, kind = await _to_the_end(turn, number, text, images)
    except asyncio.CancelledError:
        stop = "interrupted"
        raise
    finally:
        for repair in turn.history.repairs():
            turn.emit(ev.MessageAdded(repair))
        end = ev.TurnEnded(stop, error, kind, turn.steps, round(time.monotonic() - started, 3))
        turn.emit(end)
    return end


async def _to_the_end(turn: Turn, number: int, text: str, images: tuple[Image, ...]) -> tuple[ev.Stop, str, str]:
    """How the turn ended: `stop`, `error` and `kind` of its `TurnEnded`."""
    try:
        turn.emit(ev.TurnStarted(number, round(time.time(), 3)))
        await _take(turn, text, images)
        await turn.caller.sync()
        return await _steps(turn), "", ""
    except PromptRefusedError as refusal:
        return "error", refusal.full, type(refusal).__name__
    except KimiError as failure:
        error, kind = failure.full, type(failure).__name__
    except Exception as failure:  # a bug of ours must not lose the session
        error, kind = f"Internal error: {type(failure).__name__}: {failure}", type(failure).__name__
    if turn.hooks is not None:
        with contextlib.suppress(KimiError):  # a log that cannot be written: told already
            await turn.hooks.fire("StopFailure", kind, error_type=kind, error_message=error)
    return "error", error, kind


async def _take(turn: Turn, text: str, images: tuple[Image, ...] = ()) -> None:
    """What the person typed, and below it the instructions that it calls for (`/name arguments`), which are not theirs.

    Raises PromptRefusedError when a hook objects.
    """
    context = await turn.hooks.admit(text) if turn.hooks is not None else ""
    turn.emit(ev.MessageAdded(user_message(text, images)))
    if instructions := turn.expand(text):
        turn.emit(ev.MessageAdded(user_message(instructions, origin="agent")))
    if context:
        turn.emit(ev.MessageAdded(user_message(f"[Context from the user's hooks]\n{context}", origin="agent")))


async def _steps(turn: Turn) -> ev.Stop:
    allowed = turn.max_steps
    while True:
        turn.steps += 1
        await _join_steering(turn)
        reply = await _reply(turn)
        if not reply.calls:
            if await _join_steering(turn) or await _held_back(turn):
                continue
            return "cut_off" if reply.finish in CUT_OFF else "done"
        if turn.steps > allowed:  # an answer may still come after the last allowed step, calls may not
            if not await _ask_to_go_on(turn):
                turn.steps -= 1  # its calls do not run
                return "max_steps"
            allowed += turn.max_steps
        results, rejected = await run_calls(turn.caller, reply.calls)
        if rejected:
            return "rejected"
        if _repeated(turn, results):
            return "repeated_calls"


async def _reply(turn: Turn) -> Reply:
    """One reply of the model, in the history. A context that overflows is compacted once, and the request made again."""
    await turn.compactor.before_step(turn.request())
    turn.emit(ev.StepStarted(turn.steps, turn.provider.model.name))
    try:
        reply = await collect(turn.provider, turn.request(), turn.emit, turn.used_ids)
    except ContextOverflowError:
        if not await turn.compactor.after_overflow(turn.request()):
            raise
        turn.emit(ev.StepStarted(turn.steps, turn.provider.model.name))
        reply = await collect(turn.provider, turn.request(), turn.emit, turn.used_ids)
    turn.compactor.measure(turn.history.messages, reply.tokens)
    turn.emit(ev.MessageAdded(reply.message()))
    if reply.tokens is not None:
        turn.emit(turn.compactor.usage(reply.tokens))
    if not reply.calls and not reply.text.strip():
        raise ProviderError(
            "The model returned an empty answer"
            + (": its output limit was used up by thinking." if reply.finish == "length" else "."),
            "Send `continue`, or try another model.",
        )
    if reply.finish in CUT_OFF:
        turn.emit(ev.Notice("warning", CUT_OFF[reply.finish]))
    return reply


async def _join_steering(turn: Turn) -> bool:
    joined = False
    for text in turn.take_steering():
        try:
            await _take(turn, text)
        except PromptRefusedError:
            continue  # the hooks have told
        joined = True
    return joined


async def _held_back(turn: Turn) -> bool:
    """Whether a Stop hook makes a turn that is done go on. It can do so once per turn."""
    if turn.hooks is None:
        return False
    said = await turn.hooks.fire("Stop", "", stop_hook_active=turn.held_back)
    if said.denial is None or turn.held_back:
        return False
    turn.held_back = True
    text = f"[A hook of the user wants you to go on] {said.denial}"
    turn.emit(ev.MessageAdded(user_message(text, origin="agent")))
    return True


async def _ask_to_go_on(turn: Turn) -> bool:
    question = Item(
        f"The turn has reached its limit of steps ({turn.steps - 1} done). Go on?",
        (Option(GO_ON, f"up to {turn.max_steps} more steps"), Option("Stop", "keep what is done so far")),
        "Step limit",
    )
    answer = await turn.caller.ask(Choice((question,)))
    return isinstance(answer, Chosen) and answer.values == ((GO_ON,),)


def _repeated(turn: Turn, results: list[tuple[Prepared, ToolResult]]) -> bool:
    """Point out calls that repeat themselves; answer whether one has reached the limit."""
    worst = 0
    for item, result in results:
        changed = not result.is_error and any(effect.kind in ("write", "run") for effect in item.effects)
        count = turn.repeats.count(item.call, result, changed_something=changed)
        if reminder := turn.repeats.reminder(item.call.name, count):
            turn.emit(ev.MessageAdded(user_message(reminder, origin="agent")))
        worst = max(worst, count)
    return worst >= STOP_AT
