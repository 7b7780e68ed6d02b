"""One line to search in the transcript."""

from dataclasses import dataclass

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from kimi_agent.frontends.tui.widgets.field import Field

STEPS = {"enter": 1, "down": 1, "ctrl+f": 1, "shift+enter": -1, "up": -1}


class SearchBar(Horizontal):
    """Tells what is typed and which keys are pressed; `say` shows what came of it."""

    @dataclass
    class Sought(Message):
        text: str

    @dataclass
    class Stepped(Message):
        by: int

    class Closed(Message):
        pass

    def __init__(self) -> None:
        super().__init__(id="search")
        self.input = Field("Enter next · ↑ or Shift-Enter previous · Esc close")
        self._count = Static("", id="search-count", markup=False)

    def compose(self) -> ComposeResult:
        yield Static("Find", id="search-label", markup=False)
        yield self.input
        yield self._count

    def say(self, text: str) -> None:
        self._count.update(text)

    @on(Input.Changed)
    def _sought(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Sought(event.value))

    async def on_key(self, event: events.Key) -> None:
        if event.key in ("escape", "ctrl+c"):
            self.post_message(self.Closed())
        elif event.key in STEPS:
            self.post_message(self.Stepped(STEPS[event.key]))
        else:
            return
        event.stop()
        event.prevent_default()
