"""Texts that a person sends while a turn runs, and that wait."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from kimi_agent.core.event import Queued


class WaitingText(Struct, frozen=True):
    """`id` is never given twice in a session."""

    id: int
    text: str


class Waiting:
    """`steering` joins the running turn before its next step, `queued` starts the next turns. `show` is told of changes."""

    def __init__(self, show: Callable[[Queued], None]) -> None:
        self._show = show
        self._count = 0
        self._steering: list[WaitingText] = []
        self._queue: list[WaitingText] = []

    @property
    def steering(self) -> Sequence[WaitingText]:
        return tuple(self._steering)

    @property
    def queued(self) -> Sequence[WaitingText]:
        return tuple(self._queue)

    def now(self) -> Queued:
        """The event that tells what waits."""
        return Queued(tuple(each.text for each in self._steering), tuple(each.text for each in self._queue))

    def steer(self, text: str) -> None:
        self._steering.append(self._new(text))
        self._changed()

    def queue(self, text: str) -> None:
        self._queue.append(self._new(text))
        self._changed()

    def take_back(self) -> str | None:
        """Remove and answer the text that was given last."""
        waiting = self._queue or self._steering
        return self.remove(waiting[-1].id) if waiting else None

    def take_steering(self) -> list[str]:
        texts, self._steering = self._steering, []
        if texts:
            self._changed()
        return [each.text for each in texts]

    def next_prompt(self) -> str | None:
        """Remove and answer the text that starts the next turn."""
        return self.remove(self._queue[0].id) if self._queue else None

    def end_turn(self) -> None:
        """Steering that came too late for the turn is the first to start another."""
        if self._steering:
            self._queue[:0], self._steering = self._steering, []
            self._changed()

    # --- edits: None or False says that the text does not wait any more -----------------------------------------------

    def remove(self, text_id: int) -> str | None:
        """Remove and answer a text."""
        if (place := self._find(text_id)) is None:
            return None
        texts, at = place
        removed = texts.pop(at)
        self._changed()
        return removed.text

    def move(self, text_id: int, by: int) -> bool:
        """Move a text so many places towards the end of its list, or towards the beginning when `by` is negative."""
        if (place := self._find(text_id)) is None:
            return False
        texts, at = place
        texts.insert(max(0, at + by), texts.pop(at))
        self._changed()
        return True

    def steer_now(self, text_id: int) -> bool:
        """Let a text join the running turn, after those that do; one that does already stays where it is."""
        if (place := self._find(text_id)) is None:
            return False
        texts, at = place
        if texts is self._queue:
            self._steering.append(texts.pop(at))
            self._changed()
        return True

    def _find(self, text_id: int) -> tuple[list[WaitingText], int] | None:
        for texts in (self._queue, self._steering):
            for at, each in enumerate(texts):
                if each.id == text_id:
                    return texts, at
        return None

    def _new(self, text: str) -> WaitingText:
        self._count += 1
        return WaitingText(self._count, text)

    def _changed(self) -> None:
        self._show(self.now())
