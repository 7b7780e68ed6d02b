"""What fills the context window: every piece of the next request with its tokens, and what a person does with one."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.agent import compaction
from kimi_agent.agent.history import History, result_id
from kimi_agent.agent.tokens import IMAGE_TOKENS, MESSAGE_OVERHEAD, text_tokens
from kimi_agent.core import event as ev
from kimi_agent.core.errors import SessionError
from kimi_agent.core.message import Image, Message, Part, Text, Think, ToolCall, ToolResult, parse_arguments
from kimi_agent.core.provider import ToolSpec

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

_HEADING = re.compile(r"^# (Instructions of the user and the project|Your role|More folders|Skills)$", re.MULTILINE)
_KINDS = {"Instructions of the user and the project": "project instructions", "Skills": "skills listing"}
RESULTS = "results of "
"""How the kind of a tool's result begins."""
MIN_DROP = 100
"""Tokens (estimated) below which a result is not worth a broken prompt cache."""


class Piece(Struct, frozen=True):
    """`kind` is what it is counted under, `name` says which one it is.

    `number` counts the pieces of the history from 1, 0 for what comes before it; `message` is the place of its message there.
    `state` is what a person did with it, `text` what the model reads, `kept` the whole of an output that was taken out.
    """

    kind: str
    name: str
    tokens: int
    text: str
    number: int = 0
    message: int = -1
    state: Literal["", "pinned", "dropped"] = ""
    kept: str = ""

    @property
    def is_result(self) -> bool:
        return self.kind.startswith(RESULTS)


class ContextUse(Struct, frozen=True):
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
    said = list(_message_pieces(runner.history))
    counted, measured = runner.counted
    known = sum(p.tokens for p in fixed) + sum(p.tokens for p in said if p.message < counted)
    scale = measured / known if measured and known else 1.0
    pieces = [replace(piece, tokens=round(piece.tokens * scale)) for piece in (*fixed, *said)]
    sizes = [event.context_size for event in session.events() if isinstance(event, ev.Usage)]
    window = session.model.context_size or (sizes[-1] if sizes else 0)
    limits = runner.limits
    limit = compaction.threshold(window, limits.compaction_ratio, limits.reserved) if window else 0
    return ContextUse(tuple(pieces), measured, window, limit)


def drop(session: "Session", number: int) -> list[ev.Event]:
    """Take the output of the tool result with this number out of the history; the file that keeps it is named there.

    `restore` brings it back. Raises SessionError while a turn runs, for what cannot be dropped, and when it cannot be saved.
    """
    before, piece = _found(session, number)
    if not piece.is_result:
        raise SessionError(f"number {number} is no tool result: only these can be dropped", "`/compact` shortens all.")
    if piece.state:
        raise SessionError(
            f"number {number} is {piece.state}", "`/context pin N` unpins." if piece.state == "pinned" else ""
        )
    if piece.tokens < MIN_DROP:
        raise SessionError(f"number {number} is too short for that: {piece.tokens} tokens")
    history = session.runner.history
    call_id = result_id(history.messages[piece.message])
    try:
        compaction.save_outputs(history.messages, [call_id], history.scratch)
    except OSError as error:
        raise SessionError(f"the output cannot be saved to {history.scratch}: {error.strerror}") from None
    after = max(0, before.total - piece.tokens)
    return _announced(session, ev.Compacted(before.total, after, kind="prune", pruned=(call_id,)))


def restore(session: "Session", number: int) -> list[ev.Event]:
    """Put the output that was taken out, by a person or by pruning, back. Raises SessionError as `drop`."""
    before, piece = _found(session, number)
    if piece.state != "dropped":
        raise SessionError(f"number {number} was not dropped")
    call_id = result_id(session.runner.history.messages[piece.message])
    after = before.total + text_tokens(piece.kept)
    return _announced(session, ev.Compacted(before.total, after, kind="restore", pruned=(call_id,)))


def pin(session: "Session", number: int) -> tuple[bool, list[ev.Event]]:
    """Keep a message word for word whatever is pruned or summarised, or no more; whether it is pinned now.

    Raises SessionError while a turn runs, and for what cannot be pinned.
    """
    _, piece = _found(session, number)
    if piece.state == "dropped":
        raise SessionError(f"number {number} was dropped", "Restore it first.")
    if piece.kind in ("thinking", "tool calls"):
        raise SessionError(f"number {number} cannot be pinned: prompts, answers, results and notes can")
    on = piece.state != "pinned"
    return on, _announced(session, ev.Pinned(piece.message, on))


def _found(session: "Session", number: int) -> tuple[ContextUse, Piece]:
    if session.running:
        raise SessionError("the context cannot be changed while a turn runs", "Interrupt it first (Esc).")
    use = context_use(session)
    piece = next((piece for piece in use.pieces if piece.number == number > 0), None)
    if piece is None:
        raise SessionError(f"there is no number {number} in the history", "`/context` shows the numbers.")
    return use, piece


def _announced(session: "Session", event: ev.Event) -> list[ev.Event]:
    session.announce(event)
    return [event]


def _prompt_pieces(system: str) -> Iterator[Piece]:
    starts = [(0, "system prompt")]
    starts += [(match.start(), _KINDS.get(match[1], "system prompt")) for match in _HEADING.finditer(system)]
    for (start, kind), (end, _) in zip(starts, [*starts[1:], (len(system), "")], strict=True):
        if text := system[start:end].strip():
            yield Piece(kind, text.split("\n", 1)[0].lstrip("# "), text_tokens(text), text)


def _tool_piece(spec: ToolSpec) -> Piece:
    shown = f"{spec.description}\n\n{json.dumps(spec.schema, indent=2, ensure_ascii=False)}"
    return Piece("tools", spec.name, text_tokens(f"{spec.name}{spec.description}{spec.schema}"), shown)


def _message_pieces(history: History) -> Iterator[Piece]:
    calls = {call.id: call for message in history.messages for call in message.calls}
    number = 0
    for at, message in enumerate(history.messages):
        overhead = MESSAGE_OVERHEAD
        whole = history.dropped(message)
        for part in message.parts:
            number += 1
            piece = _part_piece(message, part, calls)
            state: Literal["", "pinned", "dropped"] = "dropped" if whole is not None else ""
            if message.pinned and piece.kind not in ("thinking", "tool calls"):
                state = "pinned"
            kept = "" if whole is None or whole.result is None else _content(whole.result)
            tokens = piece.tokens + overhead
            yield replace(piece, tokens=tokens, number=number, message=at, state=state, kept=kept)
            overhead = 0


def _part_piece(message: Message, part: Part, calls: dict[str, ToolCall]) -> Piece:
    match part:
        case ToolResult(call_id, content):
            call = calls.get(call_id, ToolCall(call_id, "a tool", ""))
            tokens = sum(text_tokens(p.text) if isinstance(p, Text) else IMAGE_TOKENS for p in content)
            return Piece(RESULTS + call.name, _about(call), tokens, _content(part))
        case ToolCall(_, name, arguments):
            tokens = text_tokens(name) + text_tokens(arguments)
            return Piece("tool calls", f"{name} {_about(part)}".strip(), tokens, arguments)
        case Think(text):
            return Piece("thinking", text, text_tokens(text), text)
        case Image(_, media_type, name):
            return Piece(_kind(message), name or "a picture", IMAGE_TOKENS, f"A picture ({media_type})")
        case Text(text):
            return Piece(_kind(message), text, text_tokens(text), text)


def _content(result: ToolResult) -> str:
    return "\n".join(
        part.text if isinstance(part, Text) else f"A picture ({part.media_type})" for part in result.content
    )


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
