"""The three forms in which a headless run fills standard output, and the tally that its result is made from."""

from typing import Protocol

import msgspec

from kimi_agent.agent.permissions import PLAN_DENIAL
from kimi_agent.core import event as ev
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.goal import Goal
from kimi_agent.core.message import Message, Text, ToolCall
from kimi_agent.core.record import Record
from kimi_agent.core.rules import RULE_DENIAL
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import about
from kimi_agent.frontends.json_lines import Denied, Result, TokenCount, encode
from kimi_agent.frontends.stdio import Output


class Tally:
    """What a run came to: tokens, cost, steps, turns, what was denied, the last answer and how the last turn ended."""

    def __init__(self) -> None:
        self.tokens = TokenCount()
        self.cost: float | None = None
        self.steps = self.turns = 0
        self.answer = ""
        self.model = ""
        self.end: ev.TurnEnded | None = None
        self.denied: list[Denied] = []
        self.evidence: list[ev.Evidence] = []
        self.goal: Goal | None = None
        self._calls: dict[tuple[str, str], ToolCall] = {}

    def apply(self, event: ev.Event) -> None:
        match event:
            case ev.TurnStarted():
                self.answer, self.end = "", None
                self.evidence.clear()
                self.turns += 1
            case ev.StepStarted(model=model):
                self.model = model or self.model
            case ev.Retrying(model=model) if model:  # a fallback answers instead
                self.model = model
            case ev.MessageAdded(message):
                self._note(message)
                if message.role == "assistant" and message.text.strip():
                    self.answer = message.text
            case ev.TurnEnded(steps=steps):
                self.steps += steps
                self.end = event
            case ev.Evidence():
                self.evidence.append(event)
            case ev.GoalChanged(goal):
                self.goal = goal
            case ev.Usage():
                self._count(event)
            case ev.Nested(call_id, inner):
                self._inside(call_id, inner)

    def _inside(self, path: str, event: ev.Event) -> None:
        """An event of a subagent; `path` keeps its call ids apart from those of others."""
        match event:
            case ev.Nested(call_id, inner):
                self._inside(f"{path}/{call_id}", inner)
            case ev.Usage():
                self._count(event)
            case ev.MessageAdded(message):
                self._note(message, path)

    def _count(self, event: ev.Usage) -> None:
        old = self.tokens
        self.tokens = TokenCount(old.input + event.input, old.cached + event.cached, old.output + event.output)
        if event.cost is not None:
            self.cost = (self.cost or 0.0) + event.cost

    def _note(self, message: Message, within: str = "") -> None:
        """Plan mode and rules refuse without a question to anybody: only the call's result tells of it."""
        self._calls |= {(within, call.id): call for call in message.calls}
        if (result := message.result) is None or not result.is_error:
            return
        text = "".join(part.text for part in result.content if isinstance(part, Text))
        call = self._calls.get((within, result.call_id))
        if call is None or not text.startswith("Not allowed: "):
            return
        reason = text.removeprefix("Not allowed: ").partition("\n")[0]
        if reason.startswith((PLAN_DENIAL, RULE_DENIAL)):
            self.denied.append(Denied(call.name, tuple(filter(None, [about(call)])), reason))


class Form(Protocol):
    """What goes to standard output, and when."""

    def record(self, record: msgspec.Struct | Record) -> None:
        """An event, or a record of the line protocol, as it happens."""
        ...

    def finish(self, result: Result) -> None: ...


class TextForm:
    def __init__(self, out: Output) -> None:
        self._out = out

    def record(self, record: msgspec.Struct | Record) -> None:
        pass

    def finish(self, result: Result) -> None:
        whole = result.stop == "done" and result.exit_code in (ExitCode.DONE, ExitCode.DENIED, ExitCode.GOAL)
        if not whole and not (result.stop == "cut_off" and result.exit_code == ExitCode.LIMIT):
            return
        text = result.result
        if result.structured is not msgspec.UNSET:
            text = encode(result.structured).decode()
        if text:
            text = plain(text) if self._out.is_tty else text
            self._out.write_text(text if text.endswith("\n") else text + "\n")


class JsonForm(TextForm):
    def finish(self, result: Result) -> None:
        self._out.write(encode(result))


class StreamForm(JsonForm):
    def record(self, record: msgspec.Struct | Record) -> None:
        self._out.write(encode(record))


FORMS: dict[str, type[TextForm]] = {"text": TextForm, "json": JsonForm, "stream-json": StreamForm}
