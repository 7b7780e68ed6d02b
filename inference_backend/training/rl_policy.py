"""A checkpoint as a policy: it answers conversations in this process, a token at a time, and keeps what it chose from.

Prompt, grammar and reading of the reply are those of the server (chat/); the model is reference.py, so that a process that plays
needs no torch. What a reply is depends on weights, conversation, temperature and random numbers alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.parser import CallArguments, CallStarted, ContentText, StreamParser
from inference_backend.chat.render import render
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.config import load_config
from inference_backend.load import load_weights
from inference_backend.reference import Reference, Segment
from inference_backend.training.conversations import TEMPLATE

Array = NDArray[Any]


@dataclass(slots=True)
class Call:
    id: str
    name: str
    arguments: str = ""


@dataclass(slots=True)
class Reply:
    """What the policy wrote behind a prompt. `allowed` has a row for every token that was `chosen`: what it could have been."""

    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    chosen: list[bool] = field(default_factory=list)  # else the grammar left one token alone
    allowed: list[Array] = field(default_factory=list)  # uint8 [ceil(W / 8)] each, packed bits
    is_whole: bool = False
    """Else it was cut off."""
    text: str = ""
    calls: list[Call] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Piece:
    """A sequence of an episode for training: replies whose prompts begin with all that was before them."""

    tokens: Array  # int32 [T]
    chosen: Array  # bool [T]
    allowed: Array  # uint8 [chosen tokens, ceil(W / 8)]


class Policy:
    """The model of one checkpoint. What two prompts begin with, one after the other, is computed once."""

    def __init__(self, checkpoint: Path) -> None:
        """Raises EngineError where it is none."""
        self.config = load_config(checkpoint)
        self.tokenizer = Tokenizer.load(checkpoint)
        self._model = Reference(self.config, load_weights(checkpoint, self.config))
        ends = self._ends = self.config.eos_token_ids
        self._grammars = GrammarCompiler(self.tokenizer, end_ids=ends, vocab_size=self.config.vocab_size)
        self._cache, self._held = self._model.new_cache(), list[int]()

    def reply(
        self, messages: object, tools: Sequence[dict[str, Any]], heat: float, rng: np.random.Generator, most: int
    ) -> Reply:
        """The next reply of at most `most` tokens, and within the model's context; `heat` is the temperature, 0: greedy.

        Raises RequestError for messages that no server would take.
        """
        rendered = render(messages, tools, tokenizer=self.tokenizer, template=TEMPLATE)
        grammar = self._grammars.grammar(
            tools, next_tool_index=rendered.next_tool_index, in_think=rendered.in_think, may_think=rendered.may_think
        )
        names = [tool["function"]["name"] for tool in tools]
        parser = StreamParser(self.tokenizer, names=names, next_tool_index=rendered.next_tool_index)
        reply, most = Reply(rendered.tokens), min(most, self.config.max_position_embeddings - len(rendered.tokens))
        while len(reply.tokens) < most:
            self._force(grammar.forced(), grammar, reply)
            if grammar.is_done:
                break
            if len(reply.tokens) < most:
                if (allowed := grammar.allowed()) is None:
                    break  # too much for the grammar's own limits: cut off here, as nothing holds the reply any more
                token = _drawn(self._logits(reply), allowed, heat, rng)
                grammar.accept(token)
                reply.tokens.append(token)
                reply.chosen.append(True)
                reply.allowed.append(np.packbits(allowed))
                if token in self._ends:
                    break
        reply.is_whole = grammar.is_done and len(reply.tokens) <= most
        _read(reply, parser)
        return reply

    def _force(self, tokens: Sequence[int], grammar: Any, reply: Reply) -> None:
        for token in tokens:
            grammar.accept(token)
        reply.tokens += tokens
        reply.chosen += [False] * len(tokens)

    def _logits(self, reply: Reply) -> Array:
        """Of the next token; computes what is not in the cache yet."""
        tokens = [*reply.prompt, *reply.tokens]
        same = 0
        for held, token in zip(self._held, tokens[:-1], strict=False):
            if held != token:
                break
            same += 1
        self._cache.truncate(same)
        logits = self._model.forward([Segment(tokens[same:], self._cache)])[-1]
        self._held = tokens
        return logits


def _drawn(logits: Array, allowed: Array, heat: float, rng: np.random.Generator) -> int:
    shaped = np.where(allowed, logits.astype(np.float64), -np.inf)
    if not heat:
        return int(shaped.argmax())
    upto = np.exp((shaped - shaped.max()) / heat).cumsum()
    return int(np.searchsorted(upto, rng.random() * upto[-1], side="right").clip(max=len(upto) - 1))


def _read(reply: Reply, parser: StreamParser) -> None:
    for piece in [*(piece for token in reply.tokens for piece in parser.feed(token)), *parser.end()]:
        if isinstance(piece, ContentText):
            reply.text += piece.text
        elif isinstance(piece, CallStarted):
            reply.calls.append(Call(piece.id, piece.name))
        elif isinstance(piece, CallArguments):
            reply.calls[piece.index].arguments += piece.text


def pieces(replies: Sequence[Reply]) -> list[Piece]:
    """The replies of an episode as few sequences: one, as long as history is rendered to the tokens that were sampled."""
    made: list[tuple[list[int], list[bool], list[Array]]] = []
    for reply in replies:
        before = made[-1][0] if made else []
        if not made or reply.prompt[: len(before)] != before:
            made.append(([], [], []))
        tokens, chosen, allowed = made[-1]
        new = reply.prompt[len(tokens) :]
        tokens += [*new, *reply.tokens]
        chosen += [*[False] * len(new), *reply.chosen]
        allowed += reply.allowed
    return [
        Piece(np.asarray(tokens, np.int32), np.asarray(chosen, bool), np.asarray(allowed, np.uint8))
        for tokens, chosen, allowed in made
        if allowed
    ]
