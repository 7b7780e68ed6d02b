"""Texts that a person sends while a turn runs, and that wait."""

from collections.abc import Callable

from kimi_agent.core.event import Queued


class Waiting:
    """`steering` joins the running turn before its next step, `queue` starts the next turns. `show` is told of changes."""

    def __init__(self, show: Callable[[Queued], None]) -> None:
        self._show = show
        self._steering: list[str] = []
        self._queue: list[str] = []

    def steer(self, text: str) -> None:
        self._steering.append(text)
        self._changed()

    def queue(self, text: str) -> None:
        self._queue.append(text)
        self._changed()

    def take_back(self) -> str | None:
        """Remove and answer the text that was given last."""
        waiting = self._queue or self._steering
        if not waiting:
            return None
        text = waiting.pop()
        self._changed()
        return text

    def take_steering(self) -> list[str]:
        texts, self._steering = self._steering, []
        if texts:
            self._changed()
        return texts

    def next_prompt(self) -> str | None:
        """Remove and answer the text that starts the next turn."""
        if not self._queue:
            return None
        text = self._queue.pop(0)
        self._changed()
        return text

    def end_turn(self) -> None:
        """Steering that came too late for the turn is the first to start another."""
        if self._steering:
            self._queue[:0], self._steering = self._steering, []
            self._changed()

    def _changed(self) -> None:
        self._show(Queued(tuple(self._steering), tuple(self._queue)))
