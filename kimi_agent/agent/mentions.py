"""What a person's text names (`@file`, `@server:uri`, `/server:prompt`), read for the model. What was piped in names nothing."""

from collections.abc import Callable

from kimi_agent.agent.served import Served
from kimi_agent.core import event as ev
from kimi_agent.core.attach import Attach, Attached
from kimi_agent.core.message import Image
from kimi_agent.core.workspace import Workspace


class Mentions:
    """Of one session. `attach` None reads no files."""

    def __init__(
        self, attach: Attach | None, workspace: Workspace, emit: Callable[[ev.Event], None], served: Served
    ) -> None:
        self._attach, self._workspace, self._emit, self._served = attach, workspace, emit, served
        self._typed: dict[str, str] = {}

    def only(self, text: str, typed: str | None) -> None:
        """Of the coming prompt `text` a person typed only this part; all of it for None."""
        self._typed = {} if typed is None else {text: typed}

    async def read(self, text: str) -> tuple[str, tuple[Image, ...]]:
        """Text and pictures for the model; the person is told what was left out. Raises SessionError as `Served.read` does."""
        typed = self._typed.get(text, text)
        served = await self._served.read(typed)
        files = await self._attach(typed, self._workspace) if self._attach is not None else Attached()
        for notice in (*served.notices, *files.notices):
            self._emit(ev.Notice("warning", notice))
        return "\n\n".join(filter(None, (served.text, files.text))), (*served.images, *files.images)
