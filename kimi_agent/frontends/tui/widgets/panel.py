"""What the panels that ask have in common: a scrolling body, and a guard against keys that were meant for something else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input

from kimi_agent.core.ask import Answer
from kimi_agent.frontends.common.guard import Clock, Guard
from kimi_agent.frontends.tui.draw.hints import Hint
from kimi_agent.frontends.tui.draw.lines import Line
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.field import Field

SHARE = 0.75
"""Part of the screen that a panel takes at most, before Ctrl-E."""
TINY_ROWS, LOW_ROWS = 8, 14
"""Windows lower than this lose rules, blank lines and bars (see app.tcss)."""


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

    def _prepare(self, outer: int) -> None:
        """Draw for a width of `outer` cells. The last one is kept for the scroll bar: another width would change the height."""
        base, width = self.rich_style, outer - 1
        if width > 0 and self._drawn_for != (width, base):
            self._drawn_for = (width, base)
            lines = self._draw(width)
            self._strips = [Strip(line).crop_extend(0, width, None).apply_style(base) for line in lines]
            self.virtual_size = Size(width, len(self._strips))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        self._prepare(width)
        return len(self._strips)

    def render_line(self, y: int) -> Strip:
        self._prepare(self.size.width)
        row = self.scroll_offset.y + y
        if row >= len(self._strips):
            return Strip.blank(self.size.width, self.rich_style)
        return self._strips[row].crop_extend(0, self.size.width, self.rich_style)

    def reveal(self, row: int) -> None:
        """Scroll as little as needed to see a row."""
        top, height = self.scroll_offset.y, self.size.height
        if row < top or row >= top + height:
            self.scroll_to(y=row if row < top else row - height + 1, animate=False)


class AskPanel(Vertical, can_focus=True):
    """A question on the screen: a body that scrolls when it must, keys behind the guard, and a line for other words.

    `scrolled` is what the scroll keys move; a panel in which that is not the body is as high as it can be.
    """

    @dataclass
    class Answered(Message):
        answer: Answer

    @dataclass
    class Typed(Message):
        """A key that came too early to be an answer; it was meant for the prompt."""

        text: str

    refusal: ClassVar[Answer]
    """The answer of who wants none of it."""

    def __init__(self, palette: Palette, clock: Clock, placeholder: str) -> None:
        super().__init__(classes="panel")
        self.palette = palette
        self.guard = Guard(clock)
        self.body = LinesView(self.draw_body, id="panel-body")
        self.scrolled = self.body
        self.feedback = Field(placeholder, id="feedback")

    class Erased(Message):
        """A Backspace, likewise."""

    # --- what each kind of panel says for itself ----------------------------------------------------------------------

    def draw_body(self, width: int) -> Sequence[Line]:
        raise NotImplementedError

    def press(self, event: events.Key) -> None:
        """A key that may answer."""
        raise NotImplementedError

    def take_feedback(self, text: str) -> None:
        """The person has written something instead of choosing."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------------------------

    def hints(self, in_turn: bool) -> list[Hint]:
        """The keys beside those of the answers; those that show more of it where there is more."""
        scrolls = self.scrolled.max_scroll_y > 0 or self.has_class("-expanded")
        enlarges = scrolls and self.scrolled is self.body
        return [
            ("Esc", self.escape(in_turn)),
            *([("PgDn", "scroll")] if scrolls else []),
            *([("Ctrl-E", "enlarge")] if enlarges else []),
        ]

    def tell_more(self, others: int) -> None:
        """So many questions wait behind this one."""

    def escape(self, in_turn: bool) -> str:
        """What Esc does."""
        return "close"

    def on_mount(self) -> None:
        self.feedback.display = False
        self.fit()

    def on_focus(self) -> None:
        """Seen again, after a picker or another window: the time starts anew."""
        self.call_after_refresh(self.guard.start)

    def on_paste(self, event: events.Paste) -> None:
        if not self.feedback.has_focus:
            event.stop()
            self.post_message(self.Typed(event.text))

    def on_resize(self) -> None:
        self.fit()

    def fit(self) -> None:
        """Let the body scroll before anything else of the panel is cut."""
        width, height = self.screen.size
        tiny, low = height < TINY_ROWS, height < LOW_ROWS
        high = low or self.has_class("-expanded") or self.scrolled is not self.body
        room = height if tiny else height - 3 if high else int(height * SHARE)
        self.share_rows(room - (0 if low else 4), width)

    def share_rows(self, room: int, width: int) -> None:
        """Divide the rows that the panel has, its own blank lines and rules not counted."""
        self.body.styles.max_height = max(1, room)

    def toggle_expanded(self) -> None:
        self.toggle_class("-expanded")
        self.fit()

    async def on_key(self, event: events.Key) -> None:
        if self.feedback.has_focus:
            if event.key == "escape":
                event.stop()
                self.close_feedback()
            return
        scrolls = {
            "pageup": self.scrolled.scroll_page_up,
            "pagedown": self.scrolled.scroll_page_down,
            "home": self.scrolled.scroll_home,
            "end": self.scrolled.scroll_end,
        }
        if event.key in scrolls:
            event.stop()
            scrolls[event.key](animate=False)
        elif event.is_printable or event.key in ("enter", "up", "down", "left", "right", "tab", "backspace"):
            event.stop()
            event.prevent_default()
            if self.guard.passes():
                self.press(event)
            elif event.is_printable and event.character:
                self.post_message(self.Typed(event.character))
            elif event.key == "backspace":
                self.post_message(self.Erased())

    def open_feedback(self, text: str = "") -> None:
        self.feedback.value = text
        self.feedback.display = True
        self.feedback.focus()

    def close_feedback(self) -> None:
        self.feedback.display = False
        self.focus()

    @on(Input.Submitted)
    def _feedback_written(self, event: Input.Submitted) -> None:
        event.stop()
        self.take_feedback(event.value.strip())
