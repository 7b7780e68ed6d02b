"""One streamed reply: deltas become events while they come, and a message at the end."""

import asyncio
from collections.abc import Callable

from msgspec import Struct, field

from kimi_agent.core import event as ev
from kimi_agent.core.errors import ContextOverflowError
from kimi_agent.core.message import Message, Part, Text, Think, ToolCall
from kimi_agent.core.provider import (
    CallChunk,
    Delta,
    Finished,
    Prefill,
    Provider,
    Request,
    Restarted,
    TextChunk,
    ThinkChunk,
    Tokens,
)

CALL_DELTA_STEP = 256
"""Characters of arguments between two `CallDelta` events: screens need no more."""


class _Segment(Struct):
    """A run of text, or of thinking."""

    is_thinking: bool
    pieces: list[str] = field(default_factory=list)
    api_field: str = ""
    details: list[dict[str, object]] = field(default_factory=list)

    def part(self) -> Part:
        text = "".join(self.pieces)
        return Think(text, self.api_field, tuple(self.details)) if self.is_thinking else Text(text)


class _Call(Struct):
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    size: int = 0
    shown: int = -1


class Reply:
    """What has come so far. `used_ids` holds the call ids of the session: a server that numbers anew is re-keyed."""

    def __init__(self, used_ids: set[str]) -> None:
        self._used_ids = used_ids
        self._segments: list[_Segment] = []
        self._calls: dict[int, _Call] = {}
        self.calls: tuple[ToolCall, ...] = ()
        self.tokens: Tokens | None = None
        self.finish = ""

    @property
    def text(self) -> str:
        return "".join("".join(segment.pieces) for segment in self._segments if not segment.is_thinking)

    def _segment(self, is_thinking: bool) -> _Segment:
        if not self._segments or self._segments[-1].is_thinking != is_thinking:
            self._segments.append(_Segment(is_thinking))
        return self._segments[-1]

    def add(self, delta: Delta) -> ev.Event | None:
        match delta:
            case TextChunk(text):
                if text:
                    self._segment(False).pieces.append(text)
                return ev.TextDelta(text) if text else None
            case ThinkChunk(text, name, details):
                if text or details:
                    segment = self._segment(True)
                    segment.pieces.append(text)
                    segment.api_field = name or segment.api_field
                    segment.details += details
                return ev.ThinkDelta(text) if text else None
            case CallChunk():
                return self._add_call(delta)
            case Prefill(done, total):
                return ev.Prefill(done, total)
            case Tokens():
                self.tokens = delta
            case Finished(reason):
                self.finish = reason
            case Restarted(attempt, wait_s, error, model):
                self._clear()
                return ev.Retrying(attempt, wait_s, error, model)
        return None

    def _clear(self) -> None:
        self.__init__(self._used_ids)  # type: ignore[misc]

    def _add_call(self, chunk: CallChunk) -> ev.CallDelta | None:
        call = self._calls.setdefault(chunk.index, _Call())
        call.id = call.id or chunk.id
        call.name += chunk.name
        if chunk.arguments:
            call.arguments.append(chunk.arguments)
            call.size += len(chunk.arguments)
        if call.name and (call.shown < 0 or call.size - call.shown >= CALL_DELTA_STEP):
            call.shown = call.size
            return ev.CallDelta(chunk.index, call.name, call.size)
        return None

    def settle(self) -> None:
        """Give every call its final form and an id that is unique in the session. What came twice is one call."""
        calls = []
        sent: set[tuple[str, str, str]] = set()
        for index, call in sorted(self._calls.items()):
            whole = (call.id, call.name, "".join(call.arguments))
            if call.id and whole in sent:
                continue
            sent.add(whole)
            call_id = call.id or f"call_{index}"
            number = 1
            while call_id in self._used_ids:
                number += 1
                call_id = f"{call.id or f'call_{index}'}-{number}"
            self._used_ids.add(call_id)
            calls.append(ToolCall(call_id, call.name.strip(), "".join(call.arguments) or "{}"))
        self.calls = tuple(calls)

    def message(self) -> Message:
        parts = [segment.part() for segment in self._segments]
        return Message("assistant", (*parts, *self.calls), "model")


async def collect(provider: Provider, request: Request, emit: Callable[[ev.Event], None], used_ids: set[str]) -> Reply:
    """Stream one reply. When it breaks off, the text that a person has read stays in the history, calls do not.

    Raises ProviderError.
    """
    reply = Reply(used_ids)
    try:
        async for delta in provider.stream(request):
            event = reply.add(delta)
            if event is not None:
                emit(event)
    except ContextOverflowError as error:
        emit(ev.Retrying(0, 0.0, str(error)))  # no attempt again: it only voids what was streamed
        raise
    except (asyncio.CancelledError, Exception):
        if reply.text.strip():
            emit(ev.MessageAdded(reply.message(), partial=True))
        raise
    reply.settle()
    return reply
