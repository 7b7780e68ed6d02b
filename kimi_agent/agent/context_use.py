"""What fills the context window: every piece of the next request with its tokens, and taking a tool result out of it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kimi_agent.agent import compaction
from kimi_agent.agent.tokens import IMAGE_TOKENS, MESSAGE_OVERHEAD, text_tokens
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Image, Message, Part, Text, Think, ToolCall, ToolResult, parse_arguments
from kimi_agent.core.provider import ToolSpec

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

_HEADING = re.compile(r"^# (Instructions of the user and the project|Your role|More folders|Skills)$", re.MULTILINE)
_KINDS = {"Instructions of the user and the project": "project instructions", "Skills": "skills listing"}
MIN_DROP = 100
"""Tokens (estimated) below which a result is not worth a broken prompt cache."""


@dataclass(frozen=True, slots=True)
class Piece:
    """`kind` is what it is counted under, `name` says which one it is. `result` numbers the tool results from 1; 0: none."""

    kind: str
    name: str
    tokens: int
    result: int = 0


@dataclass(frozen=True, slots=True)
class ContextUse:
    """The pieces of the next request. `measured` is what the API counted last, 0 when nothing holds; then all is estimated.

    `window` and `limit` (where compaction begins) are tokens, 0 when the window is not known.
    """

    pieces: tuple[Piece, ...]
    measured: int
    window: int
    limit: int

    @property
    def total(self) -> int:
        return sum(piece.tokens for piece in self.pieces)


def context_use(session: "Session") -> ContextUse:
    """Estimates of all pieces, scaled so that those that the API has counted add up to what it counted."""
    runner = session.runner
    fixed = [*_prompt_pieces(runner.system), *map(_tool_piece, runner.specs)]
    said = list(_message_pieces(runner.history.messages))
    counted, measured = runner.counted
    known = sum(p.tokens for p in fixed) + sum(p.tokens for at, p in said if at < counted)
    scale = measured / known if measured and known else 1.0
    pieces = [Piece(p.kind, p.name, round(p.tokens * scale), p.result) for p in (*fixed, *(p for _, p in said))]
    sizes = [event.context_size for event in session.events() if isinstance(event, ev.Usage)]
    window = session.model.context_size or (sizes[-1] if sizes else 0)
    limits = runner.limits
    limit = compaction.threshold(window, limits.compaction_ratio, limits.reserved) if window else 0
    return ContextUse(tuple(pieces), measured, window, limit)


def drop_result(session: "Session", number: int) -> list[ev.Event]:
    """Take the output of the tool result with this number out of the history; the file that keeps it is named there.

    `Session.undo` brings it back. Raises SessionError while a turn runs, for no such result, and when it cannot be saved.
    """
    if session.running:
        raise SessionError("the context cannot be changed while a turn runs", "Interrupt it first (Esc).")
    before, history = context_use(session), session.runner.history
    found = next((piece for piece in before.pieces if piece.result == number > 0), None)
    if found is None:
        raise SessionError(f"there is no tool result {number}", "`/context` shows the numbers.")
    if found.tokens < MIN_DROP:
        raise SessionError(f"tool result {number} is too short for that: {found.tokens} tokens")
    call_id = [message.result.call_id for message in history.messages if message.result][number - 1]
    try:
        compaction.save_outputs(history.messages, [call_id], history.scratch)
    except OSError as error:
        raise SessionError(f"the output cannot be saved to {history.scratch}: {error.strerror}") from None
    after = max(0, before.total - found.tokens)
    event = ev.Compacted(before.total, after, kind="prune", pruned=(call_id,))
    session.announce(event)
    return [event]


def _prompt_pieces(system: str) -> Iterator[Piece]:
    starts = [(0, "system prompt")]
    starts += [(match.start(), _KINDS.get(match[1], "system prompt")) for match in _HEADING.finditer(system)]
    for (start, kind), (end, _) in zip(starts, [*starts[1:], (len(system), "")], strict=True):
        if text := system[start:end].strip():
            yield Piece(kind, text.split("\n", 1)[0].lstrip("# "), text_tokens(text))


def _tool_piece(spec: ToolSpec) -> Piece:
    return Piece("tools", spec.name, text_tokens(f"{spec.name}{spec.description}{spec.schema}"))


def _message_pieces(messages: Sequence[Message]) -> Iterator[tuple[int, Piece]]:
    """The pieces of the history, each with the index of its message."""
    calls = {call.id: call for message in messages for call in message.calls}
    results = 0
    for at, message in enumerate(messages):
        overhead = MESSAGE_OVERHEAD
        for part in message.parts:
            results += isinstance(part, ToolResult)
            piece = _part_piece(message, part, calls, results)
            yield at, Piece(piece.kind, piece.name, piece.tokens + overhead, piece.result)
            overhead = 0


def _part_piece(message: Message, part: Part, calls: dict[str, ToolCall], results: int) -> Piece:
    match part:
        case ToolResult(call_id, content):
            call = calls.get(call_id, ToolCall(call_id, "a tool", ""))
            tokens = sum(text_tokens(p.text) if isinstance(p, Text) else IMAGE_TOKENS for p in content)
            return Piece(f"results of {call.name}", _about(call), tokens, results)
        case ToolCall(_, name, arguments):
            return Piece("tool calls", f"{name} {_about(part)}".strip(), text_tokens(name) + text_tokens(arguments))
        case Think(text):
            return Piece("thinking", text, text_tokens(text))
        case Image(_, _, name):
            return Piece(_kind(message), name or "a picture", IMAGE_TOKENS)
        case Text(text):
            return Piece(_kind(message), text, text_tokens(text))


def _kind(message: Message) -> str:
    if message.role == "assistant":
        return "answers"
    return "prompts" if message.origin == "person" else "attachments and notes"


def _about(call: ToolCall) -> str:
    """The first text among the arguments: a path, a pattern, a command."""
    try:
        values = parse_arguments(call.arguments).values()
    except ValueError:
        return ""
    return next((value for value in values if isinstance(value, str)), "")
