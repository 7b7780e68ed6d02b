"""Type one line, hidden when it is a secret."""

from rich.style import Style
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.tui.screens.dialog import Dialog
from kimi_agent.frontends.tui.widgets.field import Field


class LineScreen(Dialog[str | None]):
    """Dismisses with the text, None for Esc."""

    def __init__(self, label: str, *, secret: bool = False) -> None:
        super().__init__()
        self._label, self._secret = label, secret

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(plain(self._label), Style(bold=True)), id="dialog-title")
            yield Field("Enter send · Esc close", password=self._secret)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)

    async def on_key(self, event: events.Key) -> None:
        if event.key in ("escape", "ctrl+c"):
            event.stop()
            self.dismiss(None)
