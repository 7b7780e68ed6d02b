"""The stream of a model's tokens as reasoning, text and tool calls, well formed whatever the model writes.

Sections are told apart by special ids alone: text that spells a marker, quoted from a file perhaps, never starts a call. Half a
UTF-8 character waits for its other half. Known slips are taken for what they mean: a tool section inside the reasoning, a call
without the section around it, a section marker misspelt in plain letters, text behind the section, an id that is not canonical.
"""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass

from inference_backend.chat.json_prefix import JsonPrefix
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tool_ids import canonical, function_name

STOPS = ("<|im_end|>", "[EOS]", "[EOT]")
_NEXT_TURN = ("<|im_user|>", "<|im_assistant|>", "<|im_system|>", "[BOS]", "[PAD]")
_SPELT = tuple(f"<|tool_call{s}_section_{end}|>" for s in ("s", "") for end in ("begin", "end"))
_MAX_ID_CHARS = 400


@dataclass(frozen=True, slots=True)
class ReasoningText:
    text: str


@dataclass(frozen=True, slots=True)
class ContentText:
    text: str


@dataclass(frozen=True, slots=True)
class CallStarted:
    index: int
    """Place among the calls of this reply, from 0."""
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    index: int
    text: str
    """The next part of a text that, at `CallEnded`, is one valid JSON object."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    index: int
    complete: bool
    """False where the model left the call unfinished or broke its JSON: the arguments were closed and must not be acted on."""


Piece = ReasoningText | ContentText | CallStarted | CallArguments | CallEnded


class StreamParser:
    """One reply. `names` are the declared functions, `next_tool_index` and `in_think` come from the rendered prompt."""

    def __init__(
        self, tokenizer: Tokenizer, *, names: Sequence[str] = (), next_tool_index: int = 0, in_think: bool = False
    ) -> None:
        self.is_done = False
        """The model ended its turn; further tokens are ignored."""
        self.notes: list[str] = []
        """What was put right, for the log."""
        self.call_count = 0
        self.unfinished = False
        """Some call is not complete: the reply was cut off, and is to be reported so."""
        self._tokenizer, self._names, self._first_index = tokenizer, tuple(names), next_tool_index
        self._markers = {i: name for name, i in tokenizer.special.items()}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = "reasoning" if in_think else "content"  # or "section", "id", "arguments"
        self._held = ""  # text that is not yet known to be text
        self._json = JsonPrefix()

    def feed(self, token: int) -> list[Piece]:
        """The pieces that the next token brings, often one, often none. An id beyond the vocabulary brings none."""
        if self.is_done or not 0 <= token < self._tokenizer.vocab_size:
            return []
        if not self._tokenizer.is_special(token):
            return self._text(self._decoder.decode(self._tokenizer.token_bytes(token)))
        pieces = self._text(self._decoder.decode(b"", final=True))
        self._decoder.reset()
        return pieces + self._marker(self._markers[token])

    def end(self) -> list[Piece]:
        """The last pieces: what was held, and the end of a call that was cut off."""
        if self.is_done:
            return []
        pieces = self._text(self._decoder.decode(b"", final=True)) + self._leave()
        self.is_done = True
        return pieces

    def finish_reason(self, engine_reason: str) -> str:
        """OpenAI's word for the end: "tool_calls" only where every call is whole."""
        if self.unfinished:
            return "length"
        return "tool_calls" if self.call_count and engine_reason == "stop" else engine_reason

    def _text(self, text: str) -> list[Piece]:
        if not text:
            return []
        if self._state == "arguments":
            return self._arguments(text)
        self._held += text
        if self._state in ("section", "id"):
            return []
        ready = len(self._held) - _undecided(self._held)
        out, self._held = self._held[:ready], self._held[ready:]
        return self._say(out)

    def _say(self, text: str) -> list[Piece]:
        if not text:
            return []
        return [ReasoningText(text) if self._state == "reasoning" else ContentText(text)]

    def _arguments(self, text: str) -> list[Piece]:
        out = self._json.feed(text)
        return [CallArguments(self.call_count - 1, out)] if out else []

    def _marker(self, name: str) -> list[Piece]:
        if name in STOPS or name in _NEXT_TURN:
            return self.end()
        if name == "<think>" and self._state in ("content", "reasoning"):
            return self._go("reasoning")
        if name == "</think>" and self._state == "reasoning":
            return self._go("content")
        if name == "<|tool_calls_section_begin|>":
            return self._go("section", drop_spelt=True)
        if name == "<|tool_call_begin|>":
            return self._go("id", drop_spelt=True)
        if name == "<|tool_call_argument_begin|>" and self._state in ("id", "section"):
            return self._start(self._held)
        if name == "<|tool_call_end|>" and self._state in ("id", "arguments"):
            return self._go("section", ended=True)
        if name == "<|tool_calls_section_end|>" and self._state in ("section", "id", "arguments"):
            return self._go("content")
        return []  # of no meaning here: a stray marker, media, a reserved token

    def _go(self, state: str, *, drop_spelt: bool = False, ended: bool = False) -> list[Piece]:
        if drop_spelt and self._state in ("content", "reasoning"):
            self._held = _without_spelt(self._held)
        pieces = self._leave(ended)
        self._state = state
        return pieces

    def _leave(self, ended: bool = False) -> list[Piece]:
        """Closes whatever is open; afterwards nothing is held. `ended`: the call's own end marker is there."""
        held, self._held = self._held, ""
        if self._state == "arguments":
            return self._end_call(ended)
        if self._state == "id":
            name, brace, rest = held.partition("{")
            if ended and brace:  # the marker between id and arguments is missing
                return self._start(name) + self._arguments(brace + rest) + self._end_call(ended)
            self.notes.append(f"a call without arguments was left out: {held[:80]!r}")
            return []
        if self._state == "section":
            self._state = "content"
            for spelt in _SPELT:
                held = held.replace(spelt, "")
            return self._say(held) if held.strip() else []
        return self._say(held)

    def _start(self, written: str) -> list[Piece]:
        self._held = ""
        name = function_name(written[:_MAX_ID_CHARS], self._names)
        if name is None and len(self._names) == 1:
            name = self._names[0]
        self._state = "arguments"
        self._json = JsonPrefix()
        index = self.call_count
        self.call_count += 1
        call_id = canonical(name or "unknown", self._first_index + index)
        if written != call_id:
            self.notes.append(f"the id {written[:80]!r} became {call_id!r}")
        return [CallStarted(index, call_id, name or "unknown")]

    def _end_call(self, ended: bool) -> list[Piece]:
        index, whole, began = self.call_count - 1, self._json.is_whole, self._json.began
        closing = "" if whole and began else self._json.closing()
        complete = whole and (began or ended)
        if not complete:
            self.unfinished = True
            self.notes.append(f"the arguments of call {index} were not whole and have been closed")
        elif self._json.mended:
            self.notes.append(f"the arguments of call {index} were put right")
        self._state = "section"
        return [*([CallArguments(index, closing)] if closing else []), CallEnded(index, complete)]


def _undecided(text: str) -> int:
    """How many characters at the end may belong to a section marker misspelt in plain letters (white space behind it too)."""
    body = text.rstrip()
    for spelt in _SPELT:
        if body.endswith(spelt):
            return len(text) - len(body) + len(spelt)
    start = text.rfind("<", -max(map(len, _SPELT)))
    tail = text[start:] if start >= 0 else ""
    return len(tail) if tail and any(spelt.startswith(tail) for spelt in _SPELT) else 0


def _without_spelt(held: str) -> str:
    body = held.rstrip()
    for spelt in _SPELT:
        if body.endswith(spelt):
            return body[: -len(spelt)]
    return held
