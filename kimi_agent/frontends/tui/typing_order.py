"""Keys that come together are done one after the other."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.widgets import Input, TextArea

STUCK_S = 0.5
"""A key whose end is not heard of for so long holds back no later one."""


class OrderedApp(App[int]):
    """Takes a key when the one before has done all that it does.

    Textual hands keys on at once. Of keys that come together (typed ahead, over a slow line, sent by a program) letters would
    be put in before a key that is bound to an action has done it, and into what had the focus before.
    """

    def __init__(self, **options: Any) -> None:
        self._typed: deque[events.Key | events.Paste] = deque()
        self._taking = False
        self._taken_at = 0.0
        super().__init__(**options)

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            await super().on_event(event)
            return
        self._typed.append(event)
        if not self._taking or time.monotonic() - self._taken_at > STUCK_S:
            await self._take_key()

    async def _take_key(self) -> None:
        self._taking = bool(self._typed)
        if not self._taking:
            return
        self._taken_at = time.monotonic()
        way = (self.focused or self.screen).ancestors_with_self
        event = self._typed.popleft()
        await super().on_event(event)
        while self._typed and self._is_letter(event) and self._is_letter(self._typed[0]):
            await super().on_event(self._typed.popleft())
        await self._follow(way)

    def _is_letter(self, event: events.Event) -> bool:
        """Whether it only goes into a text: letters wait for no letters, or what is pasted as keys would come slowly."""
        return isinstance(event, events.Key) and event.is_printable and isinstance(self.focused, Input | TextArea)

    async def _follow(self, way: Sequence[DOMNode]) -> None:
        """Behind the key, and what it has set off, through the queues of all that may handle it; then comes the next key."""
        for number, node in enumerate(way, 1):
            if node.call_later(self._follow, way[number:]):
                return
        await self._take_key()
