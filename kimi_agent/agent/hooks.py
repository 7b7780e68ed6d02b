"""The user's hooks in one session: which run for an event, what they are told, and what their answers mean together.

Contract (kimi-cli's): JSON on stdin; exit 0 lets things go on, 2 objects with its stderr as the reason, anything else is a
failure that is told and passed over, unless the hook is strict. On exit 0 stdout may hold `{"hookSpecificOutput": ...}`.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from kimi_agent.core import event as ev
from kimi_agent.core.errors import KimiError, PromptRefusedError
from kimi_agent.core.hook import Hook, HookExit, RunHook

TEXT_EVENTS = ("SessionStart", "UserPromptSubmit")
"""Events whose hooks add context by simply printing it."""
OBJECTING = ("PreToolUse", "PostToolUse", "PostToolUseFailure", "UserPromptSubmit", "Stop")
"""Events at which an objection changes something; elsewhere it is only told."""
LAST_WORDS_S = 1.0
"""How long a notification that is on its way is waited for when the session closes."""
_REASON = 10_000  # characters of a reason or of context that reach the model
_SHOWN = 300  # characters of it that a notice shows


class _Specific(msgspec.Struct, frozen=True, rename="camel"):
    permission_decision: Literal["", "allow", "deny", "ask"] | None = None
    permission_decision_reason: Any = None  # whatever it is, it must not cost the denial
    updated_input: dict[str, Any] | None = None
    additional_context: str | None = None


class _Output(msgspec.Struct, frozen=True, rename="camel"):
    hook_specific_output: _Specific | None = None
    decision: Literal["", "block", "approve"] | None = None
    reason: Any = None


class Said(Struct, frozen=True):
    """What one hook said. `objection` is the reason, None without one; `failure` says what went wrong with the hook."""

    objection: str | None = None
    failure: str = ""
    ask: bool = False
    input: dict[str, Any] | None = None
    context: str = ""


class Outcome(Struct, frozen=True):
    """What the hooks of an event said together: one objection is enough. `ask`: a person is to be asked in any case."""

    denial: str | None = None
    ask: bool = False
    input: dict[str, Any] | None = None
    context: str = ""


class Hooks(Struct):
    """The hooks of one session. `emit` shows and logs an event; `transcript` is the session's file."""

    hooks: Sequence[Hook]
    run: RunHook
    session_id: str
    cwd: Path
    transcript: Path
    emit: Callable[[ev.Event], None]
    resumed: bool = False
    _started: bool = False
    _context: str = ""  # of SessionStart, until a prompt takes it along
    _tasks: set[asyncio.Task[Outcome]] = field(default_factory=set)

    async def fire(self, event: str, subject: str, **fields: Any) -> Outcome:
        """Run the hooks of `event` that match `subject`, side by side. `fields` join the JSON that they are told."""
        matching = self._matching(event, subject)
        if not matching:
            return Outcome()
        told = {"hook_event_name": event, "session_id": self.session_id, "cwd": str(self.cwd)}
        data = json.dumps({**told, "transcript_path": str(self.transcript), **fields}).encode()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._ask(hook, data)) for hook in matching]
        return self._together([(hook, task.result()) for hook, task in zip(matching, tasks, strict=True)])

    def tell(self, event: str, subject: str, **fields: Any) -> None:
        """As `fire`, without waiting for the hooks."""
        if self._matching(event, subject):
            task = asyncio.create_task(self.fire(event, subject, **fields))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def admit(self, text: str) -> str:
        """Show a prompt to the hooks, the session's start before the first one; the context that they add.

        Raises PromptRefusedError when a hook objects.
        """
        if not self._started:
            source = "resume" if self.resumed else "startup"
            self._context = (await self.fire("SessionStart", source, source=source)).context
            self._started = True
        outcome = await self.fire("UserPromptSubmit", text, prompt=text)
        if outcome.denial is not None:
            raise PromptRefusedError(f"A hook refused the prompt: {outcome.denial[:_SHOWN]}")
        context = "\n".join(filter(None, (self._context, outcome.context)))
        self._context = ""
        return context

    async def aclose(self) -> None:
        """Run the hooks of the session's end, if it had a start. Never raises."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS_S)
        for task in list(self._tasks):
            task.cancel()
        if self._started:
            self._started = False
            with contextlib.suppress(KimiError):
                await self.fire("SessionEnd", "exit", reason="exit")

    def _matching(self, event: str, subject: str) -> list[Hook]:
        """Each command once; what is asked of it most strictly holds."""
        found: dict[str, Hook] = {}
        for hook in self.hooks:
            if hook.event == event and re.search(hook.matcher, subject):
                same = found.get(hook.command, hook)
                timeout, strict = max(hook.timeout, same.timeout), hook.strict or same.strict
                outside = hook.outside and same.outside
                found[hook.command] = replace(hook, timeout=timeout, strict=strict, outside=outside)  # type: ignore[type-var]
        return list(found.values())

    async def _ask(self, hook: Hook, data: bytes) -> Said:
        try:
            return understand(hook, await self.run(hook.command, data, self.cwd, hook.timeout, hook.outside))
        except Exception as error:  # whatever is wrong with a hook must not cost the turn
            return Said(failure=str(error) or type(error).__name__)

    def _together(self, answers: Sequence[tuple[Hook, Said]]) -> Outcome:
        """Tell people of objections and failures; a strict hook's failure is an objection."""
        judged = [self._judged(hook, said) for hook, said in answers]
        reasons = [said.objection for said in judged if said.objection is not None]
        inputs = [said.input for said in judged if said.input is not None]
        if any(other != inputs[0] for other in inputs[1:]):
            self.emit(
                ev.Notice("warning", "Several hooks rewrite this call: the first one of the configuration holds.")
            )
        return Outcome(
            "\n".join(dict.fromkeys(reasons)) if reasons else None,
            any(said.ask for said in judged),
            inputs[0] if inputs else None,
            "\n".join(said.context for said in judged if said.context),
        )

    def _judged(self, hook: Hook, said: Said) -> Said:
        name = f"Hook {hook.event} `{hook.shown[:80]}`"
        objects = hook.event in OBJECTING
        if said.failure and hook.strict and objects:
            said = replace(said, objection=f"the strict hook `{hook.shown[:80]}` failed: {said.failure}")
        if said.objection is not None:
            verb = "objected" if objects else "objected in vain"
            self.emit(ev.Notice("warning", f"{name} {verb}: {said.objection[:_SHOWN]}"))
        elif said.failure:
            self.emit(ev.Notice("warning", f"{name} failed and was passed over: {said.failure[:_SHOWN]}"))
        return said


def understand(hook: Hook, done: HookExit) -> Said:
    """What a hook's exit code and output mean."""
    stdout, stderr = done.stdout.strip()[:_REASON], done.stderr.strip()[:_REASON]
    if done.code is None:
        return Said(failure=f"no end after {hook.timeout:g} s")
    if done.code == 2:
        return Said(objection=stderr or stdout or "no reason given")
    if done.code:
        return Said(failure=f"exit code {done.code}" + (f": {stderr}" if stderr else ""))
    plain = Said(context=stdout if hook.event in TEXT_EVENTS else "")
    if not stdout.startswith("{"):
        garbled = stdout and hook.strict and hook.event == "PreToolUse"  # a denial below a line of debug output
        return Said(failure=f"its output is no JSON: {stdout[:80]}") if garbled else plain
    try:
        output = msgspec.json.decode(done.stdout, type=_Output)
    except msgspec.ValidationError as error:
        return Said(failure=f"its output is not as documented: {error}")
    except (msgspec.DecodeError, RecursionError) as error:
        return plain if plain.context else Said(failure=f"its output is no JSON: {error}")
    return _decided(output) if output.hook_specific_output or output.decision else plain


def _decided(output: _Output) -> Said:
    specific = output.hook_specific_output or _Specific()
    if specific.permission_decision == "deny" or output.decision == "block":
        reason = str(specific.permission_decision_reason or output.reason or "").strip()
        return Said(objection=reason[:_REASON] or "no reason given")
    asks = specific.permission_decision == "ask"
    return Said(ask=asks, input=specific.updated_input, context=(specific.additional_context or "")[:_REASON])
