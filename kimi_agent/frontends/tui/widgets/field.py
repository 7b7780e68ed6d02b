"""One line to type in."""

from textual import events
from textual.widgets import Input

from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.tui.keys import typed


class Field(Input):
    """Its cursor stands still, as the prompt's does; of a paste it takes all lines, as one."""

    def __init__(self, placeholder: str, *, password: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(placeholder=placeholder, password=password, id=id, compact=True, select_on_focus=False)
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        if not event.is_printable and (text := typed(event)):
            event.stop()
            event.prevent_default()
            self.replace(text, *self.selection)

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        lines = plain(event.text.replace("\r", "\n")).splitlines()
        self.replace(" ".join(line for line in lines if line.strip()), *self.selection)
