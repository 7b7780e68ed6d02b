"""Which episodes are kept: those that reached their goal, that replay, that are short, and that are not there already."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from inference_backend.training.synthesis.dataset import Example, size_of, spoken
from inference_backend.training.synthesis.goals import plain_words

MOST_CHARACTERS = 9_000
"""Of one conversation: three or four characters are a token, and 4,096 tokens are trained."""
ALIKE = 3
"""How many conversations may differ in signs and capital letters alone."""


def too_long(messages: Sequence[dict[str, Any]]) -> bool:
    return size_of(messages) > MOST_CHARACTERS


def fingerprint(example: Example) -> str:
    """Of the whole conversation: two of one fingerprint are the same."""
    return hashlib.sha256(json.dumps(spoken(example.messages), ensure_ascii=False).encode()).hexdigest()


def likeness(example: Example) -> str:
    """Of what was asked and what was done: two that differ in politeness of signs, or in their worlds alone, have the same."""
    said = [letters(turn) for turn in example.turns]
    done = [
        [call["function"]["name"] + call["function"]["arguments"] for call in message.get("tool_calls", ())]
        for message in example.messages
        if message["role"] == "assistant"
    ]
    return hashlib.sha256(json.dumps([said, done]).encode()).hexdigest()


def letters(text: str) -> str:
    return re.sub(r"[\W_]+", " ", plain_words(text)).strip()


class Sieve:
    """Takes examples one after another and keeps out what is there already. `dropped` counts why."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._prints: set[str] = set()
        self._alike: Counter[str] = Counter()
        self._asked: set[str] = set()

    def keep(self, example: Example) -> bool:
        """Training comes first: what is held out must not be asked there in the same words."""
        print_, alike, asked = fingerprint(example), likeness(example), letters(" / ".join(example.turns))
        if print_ in self._prints:
            return self._drop("the same as another")
        if self._alike[alike] >= ALIKE:
            return self._drop("nearly the same as others")
        if example.split == "held_out" and asked in self._asked:
            return self._drop("held out, but asked in training")
        self._prints.add(print_)
        self._alike[alike] += 1
        if example.split == "train":
            self._asked.add(asked)
        return True

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False
