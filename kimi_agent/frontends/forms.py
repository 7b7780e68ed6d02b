"""The three forms in which a headless run fills standard output, and the tally that its result is made from."""

from typing import Protocol

import msgspec

from kimi_agent.core import event as ev
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.record import Record
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.json_lines import Result, TokenCount, encode
from kimi_agent.frontends.stdio import Output


class Tally:
    """What a run came to: tokens, cost, steps, turns, the last answer and how the last turn ended."""

    def __init__(self) -> None:
        self.tokens = TokenCount()
        self.cost: float | None = None
        self.steps = self.turns = 0
        self.answer = ""
        self.model = ""
        self.end: ev.TurnEnded | None = None

    def apply(self, event: ev.Event) -> None:
        match event:
            case ev.TurnStarted():
                self.answer, self.end = "", None
                self.turns += 1
            case ev.StepStarted(model=model):
                self.steps += 1
                self.model = model or self.model
            case ev.Retrying(model=model) if model:  # a fallback answers instead
                self.model = model
            case ev.MessageAdded(message) if message.role == "assistant" and message.text.strip():
                self.answer = message.text
            case ev.TurnEnded():
                self.end = event
            case ev.Usage() | ev.Nested():
                self._count(event)

    def _count(self, event: ev.Event) -> None:
        if isinstance(event, ev.Nested):
            self._count(event.event)
        elif isinstance(event, ev.Usage):
            old = self.tokens
            self.tokens = TokenCount(old.input + event.input, old.cached + event.cached, old.output + event.output)
            if event.cost is not None:
                self.cost = (self.cost or 0.0) + event.cost


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
        if result.exit_code not in (ExitCode.DONE, ExitCode.DENIED) or result.stop != "done":
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
