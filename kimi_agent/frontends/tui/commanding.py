"""The slash commands that run: their number, what they are, and how one is stopped."""

from typing import TYPE_CHECKING

from textual.worker import Worker, get_current_worker

from kimi_agent.commands import execute
from kimi_agent.frontends.tui.draw.local import NoteBlock

if TYPE_CHECKING:
    from kimi_agent.frontends.tui.base import SessionApp

CANCEL = (("Esc", "cancel"),)


class Commanding:
    def __init__(self, app: "SessionApp") -> None:
        self._app = app
        self._running: list[tuple[str, Worker[None]]] = []

    def __len__(self) -> int:
        return len(self._running)

    @property
    def words(self) -> str:
        """What runs, for the person."""
        return f"{self._running[-1][0]} …" if self._running else ""

    def start(self, text: str) -> None:
        name = text.split()[0]
        self._running.append((name, self._app.run_worker(self._run(text), group="command")))
        self._app.call_later(self._app.update_bars)  # one that ends at once is not told

    def cancel(self) -> bool:
        """Stop the one that was started last; whether there was one."""
        if not self._running:
            return False
        name, worker = self._running.pop()
        worker.cancel()
        self._app.view.show([NoteBlock(f"`{name}` was stopped.")])
        return True

    async def _run(self, text: str) -> None:
        worker = get_current_worker()
        try:
            if not await execute(self._app.commands, text):
                self._app.view.show([NoteBlock(f"There is no command `{text.split()[0]}`. `/help` lists them.")])
        finally:
            self._running = [item for item in self._running if item[1] is not worker]
            self._app.update_bars()
        self._app.waking.go_on()
