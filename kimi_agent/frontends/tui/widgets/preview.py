"""What the chosen row of a listing holds, as markdown or as it is."""

from rich.text import Text

from kimi_agent.core.listing import Listing
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.tui.draw.lines import Line, wrap
from kimi_agent.frontends.tui.draw.markdown import markdown_lines
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.panel import LinesView

MAX_PREVIEW = 200_000
"""Characters that are drawn."""


class Preview(LinesView):
    def __init__(self, listing: Listing, palette: Palette) -> None:
        super().__init__(self._draw_text, id="listing-preview")
        self._listing, self._palette = listing, palette
        self._text = ""

    def show(self, text: str, *, same: bool) -> None:
        """Draw another text, from its beginning or its end; that of the `same` row stays where the reader is."""
        follows = self._listing.preview_end and (not same or self.scroll_offset.y >= self.max_scroll_y)
        self._text = plain(text[-MAX_PREVIEW:] if self._listing.preview_end else text[:MAX_PREVIEW])
        self.redraw()
        self._prepare(self.size.width)
        if follows:
            self.scroll_end(animate=False, immediate=True)
            self.call_after_refresh(self.scroll_end, animate=False)  # when it had no size yet
        elif not same:
            self.scroll_home(animate=False, immediate=True)

    def _draw_text(self, width: int) -> list[Line]:
        if not self._text.strip():
            return []
        if self._listing.preview_plain:
            style = self._palette.text
            return [line for text in self._text.split("\n") for line in wrap(Text(text, style), width)]
        return markdown_lines(self._text, width, self._palette)
