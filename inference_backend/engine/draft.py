"""Speculation from what is known already: an agent's answer copies from files in play and from what was said before.

A request's own tokens and its `drafts` are searched for the last tokens written; what followed there is the guess. Guesses are
checked by the model in one step, by sampling each position with the random number that it would have had anyway, so that the
tokens are those of a run without guesses. How long a guess is depends on the length of the match (a mixture of experts reads more
experts for more tokens), on how often such guesses were right, and on what a token more costs by the steps measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
MIN_MATCH, MAX_MATCH = 3, 24
CANDIDATES = 128
BREAK, PADDING = -1, -2

GRADES = ((5, 2), (8, 4), (16, 8), (MAX_MATCH + 1, 32))
"""(a match shorter than this, most tokens that are guessed)."""
PRIOR = (0.5, 0.7, 0.85, 0.95)
"""How often a guessed token of each grade is taken to be right at first: chosen, and soon outweighed by what is seen."""
PRIOR_WEIGHT, FORGET = 8.0, 0.97
SEARCH_SHARE = 0.02
"""Searches take this much of the steps' time at most, on average: with many requests or a small model, some are left out."""
MAX_REST = 128


class Corpus:
    """The texts in which a request's next tokens are looked for: its drafts, then its own tokens as they come."""

    def __init__(self, drafts: Sequence[Sequence[int]]) -> None:
        parts = [np.asarray([*text, BREAK], np.int32) for text in drafts if text]
        fixed = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        self._start = self._size = len(fixed)  # where its own tokens begin and end
        self._all = np.concatenate([fixed, np.zeros(max(1024, len(fixed)), np.int32)])
        self._cursor = -1  # where the last match went on

    def sync(self, tokens: Sequence[int]) -> None:
        """Takes in what is new of the request's own tokens."""
        have = self._size - self._start
        new = np.asarray(tokens[have:], np.int32)
        if self._size + len(new) > len(self._all):
            self._all = np.concatenate([self._all[: self._size], np.zeros(self._size + 2 * len(new), np.int32)])
        self._all[self._size : self._size + len(new)] = new
        self._size += len(new)

    def match(self) -> tuple[int, int]:
        """(length of the longest match, where it goes on), (0, 0) where none of MIN_MATCH tokens is.

        Of equal ones the nearest to where the last match went on: a file is copied in order.
        """
        if self._size - self._start < MIN_MATCH:
            return 0, 0
        text, end = self._all, self._size - 1
        at = np.flatnonzero(text[:end] == text[end])
        for back in range(1, MIN_MATCH):
            at = at[at >= back]
            at = at[text[at - back] == text[end - back]]
        if not len(at):
            return 0, 0
        if len(at) > CANDIDATES:
            at = np.concatenate([at[: CANDIDATES // 2], at[-CANDIDATES // 2 :]])
        back_m = np.arange(MAX_MATCH)
        own = np.where(end - back_m >= self._start, text[np.maximum(end - back_m, 0)], PADDING)
        there = np.where(at[:, None] >= back_m, text[np.maximum(at[:, None] - back_m, 0)], BREAK)
        length = np.cumprod(there == own, axis=1).sum(axis=1)
        best = at[length == length.max()] + 1
        nearest = best[np.argmin(np.abs(best - self._cursor))] if self._cursor >= 0 else best[-1]
        return int(length.max()), int(nearest)

    def read(self, start: int, count: int) -> list[int]:
        """At most `count` tokens from `start` on, to the end of the text that they are in."""
        found = self._all[start : min(start + count, self._size)]
        stop = np.flatnonzero(found == BREAK)
        self._cursor = start
        return found[: stop[0]].tolist() if len(stop) else found.tolist()


class StepCost:
    """Seconds of a step as base + slope * tokens: least squares over the last steps, older ones forgotten bit by bit."""

    def __init__(self) -> None:
        self._n = self._x = self._xx = self._y = self._xy = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        self._n = self._n * FORGET + 1
        self._x = self._x * FORGET + tokens
        self._xx = self._xx * FORGET + tokens * tokens
        self._y = self._y * FORGET + seconds
        self._xy = self._xy * FORGET + tokens * seconds

    def of(self, tokens: float) -> float:
        """Seconds of a step; while all steps were alike, one with twice the tokens is taken to cost a tenth more."""
        if not self._n:
            return 1.0
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx / self._n - mean_x * mean_x
        if spread > 1e-3 * mean_x * mean_x:
            slope = max(self._xy / self._n - mean_x * mean_y, 0.0) / spread
            slope = min(slope, mean_y / mean_x)
        else:
            slope = 0.1 * mean_y / mean_x
        return mean_y + slope * (tokens - mean_x)


@dataclass(slots=True)
class _Grade:
    """How guesses after matches of one length did."""

    right: float
    tried: float

    @property
    def rate(self) -> float:
        return self.right / self.tried

    def observe(self, guessed: int, right: int) -> None:
        """The first wrong token is the last that counts: those after it were never tried."""
        self.right = self.right * FORGET + right
        self.tried = self.tried * FORGET + min(right + 1, guessed)


class Drafter:
    """Guesses for one request."""

    def __init__(self, drafts: Sequence[Sequence[int]], grades: Sequence[_Grade]) -> None:
        self._corpus = Corpus(drafts)
        self._grades = [_Grade(grade.rate * PRIOR_WEIGHT, PRIOR_WEIGHT) for grade in grades]
        self._grade = 0
        self._rest, self._patience = 0, 4

    def sync(self, tokens: Sequence[int]) -> None:
        self._corpus.sync(tokens)

    def is_resting(self) -> bool:
        """Whether this step is one of those that go without a search."""
        self._rest -= 1
        return self._rest >= 0

    def rest(self, steps: int) -> None:
        """The next steps go without a search, so many at least."""
        self._rest = max(self._rest, min(steps, MAX_REST))

    def propose(self, tokens: Sequence[int], batch: int, most: int, cost: StepCost) -> list[int]:
        """A guess that makes the expected tokens per second of a step with `batch` tokens most, empty where none does."""
        self.sync(tokens)
        length, start = self._corpus.match()
        if length < MIN_MATCH:
            return []
        self._grade = next(i for i, (below, _) in enumerate(GRADES) if length < below)
        most = min(most, GRADES[self._grade][1])
        count = self._best(batch, most, cost)
        if count == 0:  # it does not pay; a short guess now and then tells when it does again
            self._patience = min(2 * self._patience, MAX_REST)
            self.rest(self._patience)
            count = min(1, most)
        else:
            self._patience = 4
        return self._corpus.read(start, count)

    def _best(self, batch: int, most: int, cost: StepCost) -> int:
        rate = self._grades[self._grade].rate
        best, most_per_second = 0, batch / cost.of(batch)
        expected, chance = float(batch), 1.0
        for count in range(1, most + 1):
            chance *= rate
            expected += chance
            if expected / cost.of(batch + count) > most_per_second * 1.001:
                best, most_per_second = count, expected / cost.of(batch + count)
        return best

    def observe(self, guessed: int, right: int) -> int:
        """What became of the last guess; returns its grade."""
        self._grades[self._grade].observe(guessed, right)
        return self._grade


class Speculator:
    """The drafters of all requests, and what they share: the cost of steps, and how guesses do on the whole."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.cost = StepCost()
        self.drafted = self.accepted = 0
        self._clock = clock
        self._grades = [_Grade(rate * PRIOR_WEIGHT, PRIOR_WEIGHT) for rate in PRIOR]
        self._drafters: dict[str, Drafter] = {}
        self._search = 0.0  # seconds of one search, of late

    def propose(
        self, request_id: str, drafts: Sequence[Sequence[int]], tokens: Sequence[int], batch: int, most: int
    ) -> list[int]:
        """At most `most` tokens that may follow `tokens`, in a step of `batch` tokens besides them."""
        if most <= 0:
            return []
        drafter = self._drafters.get(request_id)
        if drafter is None:
            drafter = self._drafters[request_id] = Drafter(drafts, self._grades)
            drafter.sync(tokens)
        if drafter.is_resting():
            return []
        started = self._clock()
        guess = drafter.propose(tokens, batch, most, self.cost)
        self._search += 0.1 * (self._clock() - started - self._search)
        drafter.rest(int(self._search * batch / (SEARCH_SHARE * self.cost.of(batch))))
        return guess

    def observe(self, request_id: str, guessed: int, right: int) -> None:
        drafter = self._drafters.get(request_id)
        if guessed and drafter is not None:
            self._grades[drafter.observe(guessed, right)].observe(guessed, right)
            self.drafted += guessed
            self.accepted += right

    def forget(self, request_id: str) -> None:
        self._drafters.pop(request_id, None)
