"""A conversation of another agent, put together from its records: turns of well-formed messages, and our events of them."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kimi_agent import __version__
from kimi_agent.agent.store import keepable
from kimi_agent.agent.tokens import history_tokens
from kimi_agent.core import event as ev
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.message import Image, Message, Part, Text, Think, ToolCall, ToolResult, tool_message, user_message
from kimi_agent.core.redact import Redactor

OUTPUT_LIMIT = 24_000
"""Characters of one tool output that are kept."""
TEXT_LIMIT = 200_000
"""Characters of one prompt, answer, thought or call."""
IMAGE_LIMIT = 8_000_000
"""Characters (base64) of one picture."""
NO_RESULT = "Interrupted: the imported session holds no result of this call."


@dataclass(slots=True)
class Turn:
    """A prompt and what followed. `summary` replaces everything before it; `time` is seconds since 1970, 0 for unknown."""

    messages: list[Message]
    time: float = 0.0
    summary: Message | None = None


@dataclass(slots=True)
class Conversation:
    """Takes records in their order. A reply may come in pieces, its results in any order and among them."""

    turns: list[Turn] = field(default_factory=list)
    cut: int = 0
    """How many texts were shortened."""
    _reply: list[Part] = field(default_factory=list)
    _calls: dict[str, str] = field(default_factory=dict)  # of the reply at hand: ids here by ids there
    _used: set[str] = field(default_factory=set)  # of all replies: no two calls of a session have one id
    _reply_id: str = ""
    _results: dict[str, Message] = field(default_factory=dict)

    def prompt(self, content: Sequence[Text | Image], when: float = 0.0) -> None:
        self.flush()
        if parts := self._bounded(content, TEXT_LIMIT):
            self.turns.append(Turn([Message("user", parts)], when))

    def remark(self, text: str) -> None:
        """Text for the model that no person wrote."""
        self.flush()
        if text.strip() and self.turns:
            self.turns[-1].messages.append(user_message(self._cut(text, TEXT_LIMIT), origin="agent"))

    def reply(self, parts: Sequence[Part], reply_id: str = "") -> None:
        """More of the model's reply; without an id, a new one begins where results came in between."""
        if (reply_id != self._reply_id) if reply_id or self._reply_id else self._results:
            self.flush()
        self._reply_id = reply_id
        for part in parts:
            if isinstance(part, ToolCall):
                self._call(part)
            elif isinstance(part, Text | Think) and part.text:
                text = self._cut(part.text, TEXT_LIMIT)
                self._reply.append(Text(text) if isinstance(part, Text) else Think(text, part.field))

    def _call(self, call: ToolCall) -> None:
        """One without an id or a name is damage that no API would take back."""
        if not call.id or not call.name or call.id in self._calls:
            return
        name, number = call.id, 1
        while name in self._used:
            name, number = f"{call.id}-{number}", number + 1
        self._used.add(name)
        self._calls[call.id] = name
        self._reply.append(ToolCall(name, call.name, call.arguments))

    def result(self, call_id: str, content: Sequence[Text | Image], *, is_error: bool = False) -> None:
        """The result of a call of the reply at hand; one of another call is left out."""
        if call_id := self._calls.get(call_id, ""):
            parts = self._bounded(content, OUTPUT_LIMIT) or (Text("(no output)"),)
            self._results.setdefault(call_id, Message("tool", (ToolResult(call_id, parts, is_error),), "agent"))

    def summary(self, text: str) -> None:
        """The history was replaced by this text."""
        self.flush()
        message = user_message(self._cut(text, TEXT_LIMIT), origin="agent")
        self.turns.append(Turn([], summary=message))

    def keep(self, turns: int) -> None:
        """Take back all turns but the first ones."""
        self.flush()
        del self.turns[max(0, turns) :]

    def flush(self) -> None:
        """End the reply at hand: every call gets its one result."""
        reply, results = tuple(self._reply), self._results
        self._reply, self._calls, self._reply_id, self._results = [], {}, "", {}
        if not reply or not self.turns:
            return
        messages = self.turns[-1].messages
        messages.append(Message("assistant", reply, "model"))
        calls = [part for part in reply if isinstance(part, ToolCall)]
        messages += [results.get(call.id) or tool_message(call.id, NO_RESULT, is_error=True) for call in calls]

    def prompts(self) -> int:
        return sum(bool(turn.messages) and turn.messages[0].origin == "person" for turn in self.turns)

    def _bounded(self, content: Sequence[Text | Image], limit: int) -> tuple[Text | Image, ...]:
        parts: list[Text | Image] = []
        for part in content:
            if isinstance(part, Text):
                parts += [Text(self._cut(part.text, limit))] if part.text else []
            elif len(part.data) > IMAGE_LIMIT:
                self.cut += 1
                parts.append(Text("[A picture that was too large is left out.]"))
            else:
                parts.append(part)
        return tuple(parts)

    def _cut(self, text: str, limit: int) -> str:
        if len(text) <= limit:
            return text
        self.cut += 1
        head, tail = text[: limit * 2 // 3], text[-limit // 3 :]
        return f"{head}\n[... {len(text) - len(head) - len(tail):,} characters left out ...]\n{tail}"


@dataclass(frozen=True, slots=True)
class Imported:
    """A session of another agent. `id` is its name here, `times` are seconds since 1970 (begin, last change)."""

    id: str
    cwd: str
    conversation: Conversation
    title: str = ""
    times: tuple[float, float] = (0.0, 0.0)


def session_file(session: Imported, agent: str, system_prompt: str) -> bytes:
    """The session file that opens here as if the session had been ours."""
    return b"".join(_line(event) for event in _events(session, agent, system_prompt))


def _line(event: ev.Event) -> bytes:
    return keepable(event, Redactor())[1]


def _events(session: Imported, agent: str, system_prompt: str) -> Iterator[ev.Event]:
    conversation = session.conversation
    yield ev.SessionStarted(session.id, session.cwd, session.times[0], __version__, system_prompt=system_prompt)
    cut = f" Shortened texts: {conversation.cut}." if conversation.cut else ""
    day = time.strftime("%Y-%m-%d", time.localtime(session.times[1]))
    yield ev.Notice("info", f"Imported from {agent}, last used on {day}.{cut}")
    history: list[Message] = []
    for number, turn in enumerate(conversation.turns, 1):
        if turn.summary is not None:
            before, history = history_tokens(history), [turn.summary]
            yield ev.Compacted(before, history_tokens(history), (turn.summary,))
        history += turn.messages
        if not turn.messages:
            continue
        yield ev.TurnStarted(number, turn.time)
        for message in turn.messages:
            yield ev.MessageAdded(message)
        yield ev.TurnEnded("done")
    if session.title:
        yield ev.Titled(" ".join(session.title.split())[:200])


def system_prompt_for(cwd: str, home: Path) -> str:
    """What a new session in that folder would be told: nothing of a folder that is asked about and that nobody has trusted."""
    from kimi_agent.agent.prompt import system_prompt
    from kimi_agent.agent.skill_files import Places, discover
    from kimi_agent.config.load import read_file
    from kimi_agent.folder_trust import trust_of

    folder = Path(cwd)
    try:
        trust = trust_of(read_file(home / "config.toml").trust.folders, home)(folder)
    except ConfigError:
        trust = trust_of("ask", home)(folder)
    return system_prompt(folder, home, discover(folder, Places(home, Path.home()), trust=trust).listing(), trust)
