"""The loop: ask the model, run its calls, again, until it calls nothing more."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct, field
from msgspec.structs import replace

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


EndGate: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Asked when the model is done, with its last words: what it is to be told so that it goes on, None to let the turn end."""
Attached: TypeAlias = tuple[str, tuple[Image, ...]]


def _nothing() -> list[str]:
    return []


async def _no_attachments(text: str) -> Attached:
    return "", ()


class Turn(Struct):
    """Everything that one turn works with. `emit` applies an event to the history, logs it and shows it.

    `take_steering` gives what a person sent meanwhile, `take_notes` what the program has to tell the model. `expand` answers the
    instructions that a text calls for, `attach` what its mentions (`@file`) name. A turn that is `alone` has nobody to ask:
    at its limit of steps or of `max_tokens` (input that was not cached, and output) it is told to report, and ends.
    """

    provider: Provider
    system: str
    tools: tuple[ToolSpec, ...]
    history: History
    caller: Caller
    compactor: Compactor
    emit: Callable[[ev.Event], None]
    session_id: str
    max_steps: int = 300
    thinking: str | None = None
    max_output: int | None = None
    used_ids: set[str] = field(default_factory=set)
    take_steering: Callable[[], list[str]] = _nothing
    take_notes: Callable[[], list[str]] = _nothing
    expand: Callable[[str], str] = lambda text: ""
    attach: Callable[[str], Awaitable[Attached]] = _no_attachments
    end_gates: list[EndGate] = field(default_factory=list)
    hooks: "Hooks | None" = None
    alone: bool = False
    max_tokens: int | None = None
    repeats: RepeatGuard = field(default_factory=RepeatGuard)
    steps: int = 0
    spent: int = 0
    held_back: bool = False  # a hook has made it go on when it was done
    told_limit: bool = False

    def request(self) -> Request:
        return Request(self.session_id, self.system, self.history.messages, self.tools, self.max_output, self.thinking)


async def run_turn(turn: Turn, number: int, text: str, images: tuple[Image, ...] = ()) -> ev.TurnEnded:
    """Run one turn to its end and emit `TurnEnded`. Raises CancelledError when it is interrupted, with the history whole.

    Without a text the turn is about the notes that wait for the model.
    """
    started = time.monotonic()
    end = ev.TurnEnded("error")
    try:
        end = await _to_the_end(turn, number, text, images)
    except asyncio.CancelledError:
        end = ev.TurnEnded("interrupted")
        raise
    finally:
        for repair in turn.history.repairs():
            turn.emit(ev.MessageAdded(repair))
        end = replace(end, steps=turn.steps, seconds=round(time.monotonic() - started, 3))  # type: ignore[type-var]
        turn.emit(end)
    return end


async def _to_the_end(turn: Turn, number: int, text: str, images: tuple[Image, ...]) -> ev.TurnEnded:
    """How the turn ended."""
    try:
        turn.emit(ev.TurnStarted(number, round(time.time(), 3)))
        if text or images:
            await _take(turn, text, images)
        await turn.caller.sync()
        return ev.TurnEnded(await _steps(turn))
    except PromptRefusedError as refusal:
        return ev.TurnEnded("error", refusal.full, type(refusal).__name__)
    except KimiError as failure:
        error, kind, status = failure.full, type(failure).__name__, getattr(failure, "status", 0)
    except Exception as failure:  # a bug of ours must not lose the session
        error, kind, status = f"Internal error: {type(failure).__name__}: {failure}", type(failure).__name__, 0
    if turn.hooks is not None:
        with contextlib.suppress(KimiError):  # a log that cannot be written: told already
            await turn.hooks.fire("StopFailure", kind, error_type=kind, error_message=error)
    return ev.TurnEnded("error", error, kind, status=status)


async def _take(turn: Turn, text: str, images: tuple[Image, ...] = ()) -> None:
    """What the person typed, and below it the instructions that it calls for (`/name arguments`), which are not theirs.

    Raises PromptRefusedError when a hook objects.
    """
    context = await turn.hooks.admit(text) if turn.hooks is not None else ""
    turn.emit(ev.MessageAdded(user_message(text, images)))
    if instructions := turn.expand(text):
        turn.emit(ev.MessageAdded(user_message(instructions, origin="agent")))
    attached, pictures = await turn.attach(text)
    if attached or pictures:
        turn.emit(ev.MessageAdded(user_message(attached, pictures, origin="agent")))
    if context:
        turn.emit(ev.MessageAdded(user_message(f"[Context from the user's hooks]\n{context}", origin="agent")))


async def _steps(turn: Turn) -> ev.Stop:
    allowed = turn.max_steps
    while True:
        turn.steps += 1
        await _join_waiting(turn)
        over = turn.steps > allowed or (turn.max_tokens is not None and turn.spent >= turn.max_tokens)
        if over and turn.alone:
            _tell_limit(turn)
        reply = await _reply(turn)
        if not reply.calls:
            if await _join_waiting(turn) or await _held_back(turn, reply):
                continue
            return "cut_off" if reply.finish in CUT_OFF else "done"
        if over:  # an answer may still come after the last allowed step, calls may not
            if turn.alone or not await _ask_to_go_on(turn):
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
    _tell_notes(turn)  # of what a summary has taken out of the history
    turn.emit(ev.StepStarted(turn.steps, turn.provider.model.name))
    try:
        reply = await collect(turn.provider, turn.request(), turn.emit, turn.used_ids)
    except ContextOverflowError:
        if not await turn.compactor.after_overflow(turn.request()):
            raise
        _tell_notes(turn)
        turn.emit(ev.StepStarted(turn.steps, turn.provider.model.name))
        reply = await collect(turn.provider, turn.request(), turn.emit, turn.used_ids)
    turn.compactor.measure(turn.history.messages, reply.tokens)
    turn.emit(ev.MessageAdded(reply.message()))
    if reply.tokens is not None:
        turn.spent += reply.tokens.input - reply.tokens.cached + reply.tokens.output
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


async def _join_waiting(turn: Turn) -> bool:
    """Let what waits for the model join the history; answer whether there was something."""
    joined = _tell_notes(turn)
    for text in turn.take_steering():
        try:
            await _take(turn, text)
        except PromptRefusedError:
            continue  # the hooks have told
        joined = True
    return joined


def _tell_notes(turn: Turn) -> bool:
    notes = turn.take_notes()
    for note in notes:
        turn.emit(ev.MessageAdded(user_message(note, origin="agent")))
    return bool(notes)


async def _held_back(turn: Turn, reply: Reply) -> bool:
    """Whether a turn that is done goes on: because of a Stop hook, once per turn, or of a gate on its end."""
    if turn.hooks is not None:
        said = await turn.hooks.fire("Stop", "", stop_hook_active=turn.held_back)
        if said.denial is not None and not turn.held_back:
            turn.held_back = True
            return _go_on(turn, f"[A hook of the user wants you to go on] {said.denial}")
    for gate in () if reply.finish in CUT_OFF or turn.told_limit else turn.end_gates:
        if reason := await gate(reply.text):
            return _go_on(turn, reason)
    return False


def _go_on(turn: Turn, reason: str) -> bool:
    turn.emit(ev.MessageAdded(user_message(reason, origin="agent")))
    return True


def _tell_limit(turn: Turn) -> None:
    if not turn.told_limit:
        text = (
            "[Your budget is used up. Report now what you have found and done, and what is left. Call no more tools.]"
        )
        turn.emit(ev.MessageAdded(user_message(text, origin="agent")))
    turn.told_limit = True


async def _ask_to_go_on(turn: Turn) -> bool:
    question = Item(
        f"The turn has reached its limit of steps ({turn.steps - 1} done). Go on?",
        (Option(GO_ON, f"up to {turn.max_steps} more steps"), Option("Stop", "keep what is done so far")),
        "Step limit",
    )
    async with turn.caller.lock:
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
