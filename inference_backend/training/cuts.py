"""Other ways to cut the same words into tokens, and other words in their place, so that a piece is copied wherever it stands.

A tokenizer has one way to write a word, so a piece that stands in few words is seen in few, and copying it is not learnt: names
that training never saw are made of such pieces. After BPE-dropout (Provilkov et al., 2020): in a part of the conversations some
tokens are replaced by two shorter ones that say the same, everywhere in the conversation. Prompts of the server are never cut,
nor what the model says first itself: names of tools, of parameters and of programs have one form, always.

In another part of them copied tokens become others of their kind, the same one everywhere in the conversation: what is right is
right of the new words as well, and no name can be learnt by heart. What the model only repeats before a call, as in lists, is no
such name: by its words it is told what to call.

And in another part a few of these words, and of those that the model does not write at all, become others that mean nothing:
what is asked must be told from the rest, as in requests whose verb training has never seen.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from random import Random

import numpy as np

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.training.conversations import Array, Encoded

DEEP = 3
"""How often what came out of a cut may be cut again."""
RENAMED = 0.7
"""Share of the copied tokens that become others, where any do."""
BLURRED = 12
"""Of so many tokens of a conversation's requests that are no names, one becomes another."""
WORDS = 6
"""Requests of fewer such tokens stay as they are: in `please run a.py` no word can be missed."""
_ASKS = b"?", "？".encode()
OWN = 0.002
"""Share of conversations: what the model itself says first in more of them stays as it is."""


def own_words(conversations: Sequence[Encoded], start: int) -> frozenset[int]:
    """The tokens that the model writes though nothing has shown them, behind the first `start`, which all begin with."""
    counts: Counter[int] = Counter()
    for one in conversations:
        tokens, firsts = np.unique(one.tokens[start:], return_index=True)
        counts.update(tokens[one.trained[start:][firsts]].tolist())
    return frozenset(token for token, count in counts.items() if count > OWN * len(conversations))


class Cuts:
    """All pairs of tokens that say what one token of letters says; characters of several bytes come apart into bytes."""

    def __init__(self, tokenizer: Tokenizer, kept: Collection[int] = ()) -> None:
        """Tokens in `kept` are never cut."""
        self._user, self._middle, self._end, self._calls = (
            tokenizer.marker(name)
            for name in ("<|im_user|>", "<|im_middle|>", "<|im_end|>", "<|tool_calls_section_begin|>")
        )
        self._bytes = said = tokenizer.all_bytes()
        number = {text: token for token, text in enumerate(said) if text}
        self._pairs: dict[int, list[tuple[int, int]]] = {}
        self._kinds: dict[str, list[int]] = {}
        self._kind: dict[int, str] = {}
        for text, token in number.items():
            if (
                token in kept
                or tokenizer.is_special(token)
                or not all(byte >= 128 or chr(byte).isalpha() for byte in text)
            ):
                continue
            if kind := _kind(text):
                self._kinds.setdefault(kind, []).append(token)
                self._kind[token] = kind
            halves = ((number.get(text[:at]), number.get(text[at:])) for at in range(1, len(text)))
            pairs = [(left, right) for left, right in halves if left is not None and right is not None]
            if pairs:
                self._pairs[token] = pairs

    def vary(self, one: Encoded, start: int, share: float, rng: Random, longest: int = 1 << 30) -> Encoded:
        """`one` with about `share` of the tokens cut that it both shows and trains; the first `start` tokens stay as they are.

        What would have more than `longest` tokens stays as it is.
        """
        tokens, trained = one.tokens[start:], one.trained[start:]
        for _ in range(DEEP):
            copied = _copied(tokens, trained, self._pairs)
            chosen = {token: rng.choice(self._pairs[token]) for token in copied if rng.random() < share}
            if not chosen:
                break
            tokens, trained = _replaced(tokens.tolist(), trained.tolist(), chosen)
        if start + len(tokens) > longest:
            return one
        return Encoded(
            np.concatenate([one.tokens[:start], tokens]).astype(np.int32),
            np.concatenate([one.trained[:start], trained]),
        )

    def rename(self, one: Encoded, start: int, rng: Random) -> Encoded:
        """`one` with about `RENAMED` of the tokens become others that it both shows and has in calls or answers, behind the first
        `start`."""
        tokens, trained = one.tokens[start:], one.trained[start:]
        present, table = set(tokens.tolist()), np.arange(max(self._kind, default=0) + 1, dtype=np.int32)
        for token in _copied(tokens, trained, self._kind, self._written(tokens, trained)):
            other = rng.choice(self._kinds[self._kind[token]])
            if rng.random() < RENAMED and other not in present:
                table[token] = other
                present.add(other)
        known = tokens < len(table)
        renamed = np.where(known, table[np.where(known, tokens, 0)], tokens)
        return Encoded(np.concatenate([one.tokens[:start], renamed]).astype(np.int32), one.trained)

    def blur(self, one: Encoded, start: int, rng: Random) -> Encoded:
        """`one` with a few words of its requests become others of their kind: words that are in no call and in no answer. What
        the model says before a call, where it repeats them, has the same others."""
        tokens, written = one.tokens.copy(), self._written(one.tokens, one.trained)
        text = self._text(tokens[written])
        said, words = one.trained & ~written, set[int]()
        for first, end in self._requests(one, start):
            own = {
                token for token in tokens[first:end].tolist() if token in self._kind and self._bytes[token] not in text
            }
            if len(own) >= WORDS:
                words |= own
                said[first:end] = True
        present = set(tokens.tolist())
        others = {kind: [token for token in every if token not in present] for kind, every in self._kinds.items()}
        for word in rng.sample(sorted(words), -(-len(words) // BLURRED)):
            if chosen := others[self._kind[word]]:
                tokens[said & (one.tokens == word)] = rng.choice(chosen)
        return Encoded(tokens, one.trained)

    def _text(self, tokens: Array) -> bytes:
        return b"".join(self._bytes[token] for token in tokens.tolist() if token < len(self._bytes))

    def _written(self, tokens: Array, trained: Array) -> Array:
        """[T] bool: calls and answers, without what is said before a call."""
        written = trained.copy()
        begins = np.flatnonzero(np.diff(trained.astype(np.int8), prepend=0) == 1)
        for call in np.flatnonzero(tokens == self._calls).tolist():
            written[begins[np.searchsorted(begins, call, side="right") - 1] : call] = False
        return written

    def _requests(self, one: Encoded, start: int) -> Iterator[tuple[int, int]]:
        """Where a person's turns behind the first `start` tokens begin and end, but for answers to a question of the model."""
        asked = 0  # where the turn before ended
        for opened in np.flatnonzero(one.tokens == self._user).tolist():
            first = opened + int(np.argmax(one.tokens[opened:] == self._middle)) + 1
            end = first + int(np.argmax(one.tokens[first:] == self._end))
            before = self._text(one.tokens[asked:opened][one.trained[asked:opened]])
            if first >= start and not any(mark in before for mark in _ASKS):
                yield first, end
            asked = end


def _copied(tokens: Array, trained: Array, among: Collection[int], written: Array | None = None) -> list[int]:
    """Tokens that are shown and that the model writes, or has in what is `written`."""
    wanted = trained if written is None else written
    return sorted(set(tokens[wanted].tolist()) & set(tokens[~trained].tolist()) & set(among))


def _kind(text: bytes) -> str:
    """Of a token that can stand for another one: lower-case letters, or a whole Chinese character. Else none."""
    if text.isascii():
        return "letters" if text.islower() else ""
    said = text.decode(errors="replace")
    return "character" if len(said) == 1 and "\u4e00" <= said <= "\u9fff" else ""


def _replaced(
    tokens: Sequence[int], trained: Sequence[bool], chosen: dict[int, tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    new_tokens: list[int] = []
    new_trained: list[bool] = []
    for token, is_trained in zip(tokens, trained, strict=True):
        pieces = chosen.get(token, (token,))
        new_tokens += pieces
        new_trained += [is_trained] * len(pieces)
    return np.asarray(new_tokens, np.int32), np.asarray(new_trained, bool)
