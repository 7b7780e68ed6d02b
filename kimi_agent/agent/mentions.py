"""What a person's text mentions (`@file`), read for the model. A text that was piped in mentions nothing."""

from collections.abc import Callable

from kimi_agent.core import event as ev
from kimi_agent.core.attach import Attach
from kimi_agent.core.message import Image
from kimi_agent.core.workspace import Workspace


class Mentions:
    """Of one session. `attach` None reads nothing."""

    def __init__(self, attach: Attach | None, workspace: Workspace, emit: Callable[[ev.Event], None]) -> None:
        self._attach, self._workspace, self._emit = attach, workspace, emit
        self._typed: dict[str, str] = {}

    def only(self, text: str, typed: str | None) -> None:
        """Of the coming prompt `text` a person typed only this part; all of it for None."""
        self._typed = {} if typed is None else {text: typed}

    async def read(self, text: str) -> tuple[str, tuple[Image, ...]]:
        """Text and pictures for the model; the person is told what was left out."""
        if self._attach is None:
            return "", ()
        found = await self._attach(self._typed.get(text, text), self._workspace)
        for notice in found.notices:
            self._emit(ev.Notice("warning", notice))
        return found.text, found.images
