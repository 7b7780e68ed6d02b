"""The line protocol: events out as JSON lines, prompts, steering and answers in.

Out: every event as core/event.py defines it, and the records of this module. In: one object per line, told apart by
`type`; a line that cannot be used is answered with an `error` record that names it, and the session goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from kimi_agent.core.ask import Allow, Answer, Ask, Choice, Chosen, Deny, Dismissed, Permission, Question
from kimi_agent.core.event import Evidence
from kimi_agent.core.goal import Goal
from kimi_agent.frontends.stdio import InputLines

if TYPE_CHECKING:
    from kimi_agent.agent.session import Session

BOM = b"\xef\xbb\xbf"


class Denied(msgspec.Struct, frozen=True):
    """A call that needed a permission that nobody gave, or that plan mode refused: the tool, what it wanted (targets of its
    effects; in plan mode its main argument), and why not. What a hook refused is not listed."""

    tool: str
    targets: tuple[str, ...]
    reason: str


class TokenCount(msgspec.Struct, frozen=True):
    """Tokens of the whole run. `cached` is the part of `input` that the provider had cached."""

    input: int = 0
    cached: int = 0
    output: int = 0


class Result(msgspec.Struct, frozen=True, tag="result", tag_field="type"):
    """The last record of every run; with `--output-format json` the only one. No field is ever left out.

    `result` is the answer's text, `structured` the checked JSON value (only with `--json-schema`). `cost` is in the currency of
    the configured prices, null when the model has none. `steps` is the sum over the turns that ended. `stop` is how the last
    turn ended (see `turn_ended`), empty when none ran; `kind` names the class of `error`. `exit_code` is the process's exit
    code.

    A background task that ends wakes the agent for another turn, also after the last prompt, where tasks with a limit are waited
    for: `result` is the last answer then, and `turns` and `usage` count all turns. `evidence` holds the claims of that answer
    with what shows them, `goal` the goal that the run worked on, null when there was none.
    """

    session_id: str
    result: str
    usage: TokenCount
    cost: float | None
    steps: int
    turns: int
    stop: str
    error: str
    kind: str
    model: str
    duration_s: float
    denied: tuple[Denied, ...]
    exit_code: int
    evidence: tuple[Evidence, ...]
    goal: Goal | None
    structured: Any = msgspec.UNSET


class QuestionRecord(msgspec.Struct, frozen=True, tag="question", tag_field="type"):
    """The agent waits for an `answer` line with this `id`."""

    id: str
    question: Question


class QuestionClosed(msgspec.Struct, frozen=True, tag="question_closed", tag_field="type"):
    """The question was withdrawn (an interrupt, the end of the input); an answer to it would be an error."""

    id: str


class ErrorRecord(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """Input line `line` (counted from 1) was not used."""

    line: int
    error: str


class UserLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="user", tag_field="type"):
    """A prompt. While a turn runs it waits for its end."""

    text: str


class SteerLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="steer", tag_field="type"):
    """Joins the running turn before its next step; a prompt when no turn runs."""

    text: str


class InterruptLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="interrupt", tag_field="type"):
    """Ends the running turn; what waits is run next."""


class AnswerLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answer", tag_field="type"):
    """Answers question `id`. A permission: `allow`, with `feedback` for the model when it is "no"; `always` where the question
    has `always`. A choice: `values`, a list per item; without them the question is dismissed."""

    id: str
    allow: Literal["once", "session", "always", "no"] = "no"
    feedback: str = ""
    values: tuple[tuple[str, ...], ...] = ()


class TextPart(msgspec.Struct, frozen=True, tag="text", tag_field="type"):
    text: str


class ChatMessage(msgspec.Struct, frozen=True):
    """A prompt in the form that kimi-cli takes, a chat message: `{"role": "user", "content": "..."}`."""

    role: Literal["user"]
    content: str | list[TextPart]


InputLine: TypeAlias = UserLine | SteerLine | InterruptLine | AnswerLine

_encoder = msgspec.json.Encoder()
_messages = msgspec.json.Decoder(ChatMessage)
_decoder: msgspec.json.Decoder[InputLine] = msgspec.json.Decoder(InputLine)


def encode(record: Any) -> bytes:
    """One line, with its line break. Text with lone surrogates is written with JSON escapes, integers in any size."""
    try:
        return _encoder.encode(record) + b"\n"
    except (UnicodeEncodeError, OverflowError):
        import json

        return json.dumps(msgspec.to_builtins(record), separators=(",", ":")).encode() + b"\n"


class LineInput:
    """Reads input lines, acts on them, and gets questions answered. `emit` writes a record; `nobody` answers at the end."""

    def __init__(self, lines: InputLines, emit: Callable[[msgspec.Struct], None], nobody: Ask) -> None:
        self._lines = lines
        self._emit = emit
        self._nobody = nobody
        self._prompts: asyncio.Queue[str | None] = asyncio.Queue()
        self._open: dict[str, tuple[Question, asyncio.Future[Answer | None]]] = {}
        self._asked = 0
        self._ended = False

    async def ask(self, question: Question) -> Answer:
        await asyncio.sleep(0)  # the events before the question are written before it
        if self._ended:
            return await self._nobody(question)
        self._asked += 1
        key = f"q{self._asked}"
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._open[key] = (question, future)
        self._emit(QuestionRecord(key, question))
        answered = False
        try:
            answer = await future
            answered = answer is not None
            return answer if answer is not None else await self._nobody(question)
        finally:
            del self._open[key]
            if not answered:
                self._emit(QuestionClosed(key))

    def wake(self) -> None:
        """The idle session has something to go on with: a prompt without a text."""
        self._prompts.put_nowait("")

    async def prompts(self) -> AsyncIterator[str]:
        """Prompts in the order they came; ends with the input."""
        while (text := await self._prompts.get()) is not None:
            yield text

    async def read(self, session: "Session") -> None:
        """Act on lines until the input ends."""
        number = 0
        while (line := await self._lines.next()) is not None:
            number += 1
            if not line.strip():
                continue
            try:
                self._act(_decode(line.removeprefix(BOM)), session)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
                self._emit(ErrorRecord(number, str(error)))
        self._ended = True
        self._prompts.put_nowait(None)
        for _, future in self._open.values():
            if not future.done():
                future.set_result(None)

    def _act(self, line: InputLine, session: "Session") -> None:
        match line:
            case UserLine(text) | SteerLine(text) if not text.strip():
                raise ValueError("`text` is empty")
            case SteerLine(text) if session.running:
                session.steer(text)
            case UserLine(text) | SteerLine(text):
                self._prompts.put_nowait(text)
            case InterruptLine():
                if not session.running:
                    raise ValueError("no turn is running")
                session.interrupt()
            case AnswerLine():
                self._answer(line)

    def _answer(self, line: AnswerLine) -> None:
        question, future = self._open.get(line.id, (None, None))
        if question is None or future is None or future.done():
            raise ValueError(f"no question {line.id!r} is open")
        future.set_result(_to_answer(question, line))


def _decode(line: bytes) -> InputLine:
    """Raises msgspec.DecodeError that says what our own form misses."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        try:
            content = _messages.decode(line).content
        except msgspec.ValidationError:
            pass
        else:
            return UserLine(content if isinstance(content, str) else "\n".join(part.text for part in content))
        raise


def _to_answer(question: Question, line: AnswerLine) -> Answer:
    """Raises ValueError when the answer does not fit the question."""
    match question:
        case Permission(session_scope=scope, always=always):
            if (line.allow == "session" and not scope) or (line.allow == "always" and not always):
                raise ValueError("this call can only be allowed once")
            return Deny(line.feedback) if line.allow == "no" else Allow(line.allow)
        case Choice(items=items):
            if not line.values:
                return Dismissed(line.feedback) if line.feedback else Dismissed()
            if len(line.values) != len(items):
                raise ValueError(f"expected {len(items)} lists in `values`, got {len(line.values)}")
            return Chosen(line.values)
