"""A guard against keys that were meant for something else than the question that has just come."""

import time
from collections.abc import Callable

GUARD_S = 0.3
"""How long a question must have been seen before a key answers it."""
Clock = Callable[[], float]


class Guard:
    """Keys answer only after the question was visible for 300 ms, and after a person who was typing has paused for as long."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def start(self) -> None:
        """The question has been painted."""
        self._since = self._clock()

    def passes(self) -> bool:
        """Whether a key pressed now may answer. One that may not starts the time anew."""
        now = self._clock()
        if self._since is not None and now - self._since >= GUARD_S:
            return True
        if self._since is not None:
            self._since = now
        return False
