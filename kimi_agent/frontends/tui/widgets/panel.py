"""What the panels that ask have in common: a scrolling body, and a guard against keys that were meant for something else."""

import time
from collections.abc import Callable, Sequence

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kimi_agent.frontends.tui.draw.lines import Line

GUARD_S = 0.3
Clock = Callable[[], float]


class Guard:
    """Keys answer only after the panel was visible for 300 ms, and after a person who was typing has paused for as long."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    def start(self) -> None:
        """The panel has been painted."""
        self._since = self._clock()

    def passes(self) -> bool:
        """Whether a key pressed now may answer. One that may not starts the time anew."""
        now = self._clock()
        if self._since is not None and now - self._since >= GUARD_S:
            return True
        if self._since is not None:
            self._since = now
        return False


class LinesView(ScrollView, can_focus=False):
    """Lines drawn for the width at hand, as high as they are or as the layout allows, then scrolling."""

    def __init__(self, draw: Callable[[int], Sequence[Line]], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._draw = draw
        self._strips: list[Strip] = []
        self._drawn_for: tuple[int, object] | None = None

    def redraw(self) -> None:
        """The content has changed."""
        self._drawn_for = None
        self.refresh(layout=True)

    def _prepare(self, width: int) -> None:
        base = self.rich_style
        if width > 0 and self._drawn_for != (width, base):
            self._drawn_for = (width, base)
            lines = self._draw(width)
            self._strips = [Strip(line).crop_extend(0, width, None).apply_style(base) for line in lines]
            self.virtual_size = Size(width, len(self._strips))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        self._prepare(width - self.styles.scrollbar_size_vertical)
        return len(self._strips)

    def render_line(self, y: int) -> Strip:
        self._prepare(self.scrollable_content_region.width)
        row = self.scroll_offset.y + y
        if row >= len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        return self._strips[row].crop_extend(0, self.size.width, self.rich_style)

    def reveal(self, row: int) -> None:
        """Scroll as little as needed to see a row."""
        top, height = self.scroll_offset.y, self.size.height
        if row < top or row >= top + height:
            self.scroll_to(y=row if row < top else row - height + 1, animate=False)
