"""The screen below all others."""

from textual.geometry import Offset
from textual.screen import Screen
from textual.widget import Widget

from kimi_agent.frontends.tui.view import TranscriptView


class ConversationScreen(Screen[None]):
    def get_widget_and_offset_at(self, x: int, y: int) -> tuple[Widget | None, Offset | None]:
        """Blank rows are places in the text, too: a selection that begins on one would begin where the whole session does."""
        widget, offset = super().get_widget_and_offset_at(x, y)
        if offset is None and isinstance(widget, TranscriptView):
            offset = Offset(x, y) - widget.region.offset + widget.scroll_offset
        return widget, offset
