"""The transcript on screen: one widget that draws lines, however long the session is.

Blocks are drawn when they come into view and kept as strips; blocks that were never seen have an estimated height. A change
redraws its own block only, and at most some thirty times a second, less often when drawing is slow.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from textual import events
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.timer import Timer

from kimi_agent.agent.transcript import AnswerBlock, CallBlock, PromptBlock, ThoughtBlock
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common import subagent
from kimi_agent.frontends.common.graphics import without_placeholders
from kimi_agent.frontends.common.look import Diffs
from kimi_agent.frontends.common.pace import Pace
from kimi_agent.frontends.tui.draw.blocks import BLANK, Drawable, block_lines, estimate, gap
from kimi_agent.frontends.tui.draw.canvas import Canvas
from kimi_agent.frontends.tui.draw.copying import selected
from kimi_agent.frontends.tui.draw.lines import Line, indent
from kimi_agent.frontends.tui.draw.local import ShellBlock
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE, Palette
from kimi_agent.frontends.tui.draw.strips import painted, selection_style
from kimi_agent.frontends.tui.entries import Entry, prompt_beside, rows_between
from kimi_agent.frontends.tui.graphics import TerminalPictures
from kimi_agent.frontends.tui.place import Place

FOLDABLE = (CallBlock, ThoughtBlock, ShellBlock, PromptBlock)
KEEP = 400
"""Blocks whose strips are kept; more are dropped, away from what is in view."""


class TranscriptView(ScrollView, can_focus=False):
    """Follows the end until the reader scrolls away from it."""

    ALLOW_MAXIMIZE = False
    new_below: reactive[bool] = reactive(False, repaint=False)
    """Something has come below what the reader looks at."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.marker: Callable[[Entry, int, Strip], Strip] | None = None  # paints row n of an entry: what a search found
        self.palette: Palette = PLAIN_PALETTE
        self.pictures = TerminalPictures()
        self.cwd = ""
        self.paints = self.streams_thinking = True
        self.diffs: Diffs = "auto"
        self.clock: Callable[[], float] = time.monotonic
        self.counts = True  # how long subagents are at work
        self.expanded = False
        self.following = True
        self._entries: list[Entry] = []
        self._index: dict[int, int] = {}
        self._offsets: list[int] = []  # first row of each entry, its gap included
        self._total = 0
        self._dirty: set[int] = set()
        self._frame: Timer | None = None
        self._scheduled = False
        self._pace = Pace()
        self._painted: list[Strip | None] = []  # the rows on screen
        self._settling = False
        self._drawn_width = 0
        self._place = Place()

    # --- what others call ---------------------------------------------------------------------------------------------

    def show(self, blocks: Iterable[Drawable]) -> None:
        """Draw these blocks soon: new ones at the end, known ones again."""
        for block in blocks:
            number = self._index.get(id(block))
            if number is None:
                number = self._index[id(block)] = len(self._entries)
                self._entries.append(Entry(block, estimate(block, self._width)))
            self._entries[number].sought = None
            if isinstance(block, CallBlock) and block.state == "running" and not self._entries[number].began:
                self._entries[number].began = self.clock()
            self._dirty.add(number)
            if not self.following and not block.void and number >= self.last_in_view:
                self.new_below = True
        self._schedule()

    def reset(self, blocks: Iterable[Drawable] = ()) -> None:
        """Forget everything and begin with these blocks, at their end."""
        self._entries, self._index, self._offsets, self._dirty = [], {}, [], set()
        self.following = True
        self.pictures.clear()
        self.show(blocks)

    def tick(self) -> None:
        """Draw anew how long the subagents in view have been at work."""
        if self.counts:
            entries = self._in_view(self.scroll_offset.y, self.size.height)
            self.show(e.block for e in entries if isinstance(e.block, CallBlock) and subagent.at_work(e.block))

    def withdraw(self, block: Drawable) -> None:
        """Take a block out that only this screen has."""
        block.void = True
        self.show([block])

    @property
    def text_width(self) -> int:
        """Cells that a block's text has for itself."""
        return Canvas(self._width, self.palette).inner

    def set_palette(self, palette: Palette) -> None:
        if palette != self.palette:
            self.palette = palette
            self._forget_strips()

    def pictures_lost(self) -> None:
        """The terminal has forgotten the pictures it was sent."""
        self.pictures.forget()
        self._forget_strips()

    def toggle_expanded(self) -> None:
        """Fold or unfold all blocks."""
        self.expanded = not self.expanded
        for entry in self._entries:
            entry.expanded = self.expanded
        self._forget_strips(foldable=True)

    def jump_end(self) -> None:
        self.following = True
        self._settle(0, 0)

    def jump_turn(self, step: int) -> None:
        """Bring the prompt before (-1) or after (1) the top of the view to the top; after the last one comes the end."""
        found = prompt_beside(self._entries, self._offsets, self.scroll_offset.y, step)
        if found is not None:
            self.reveal(found)
        elif step > 0:
            self.jump_end()

    # --- for a search -------------------------------------------------------------------------------------------------

    @property
    def entries(self) -> Sequence[Entry]:
        return self._entries

    @property
    def last_in_view(self) -> int:
        """Number of the last entry that the reader sees, at least in part."""
        return bisect_right(self._offsets, self.scroll_offset.y + self.size.height - 1) - 1

    def drawn(self, number: int, *, unfold: bool = False) -> list[str]:
        """The rows of an entry, drawn now if need be."""
        entry = self._entries[number]
        if unfold and isinstance(entry.block, FOLDABLE) and not entry.expanded:
            entry.expanded, entry.strips = True, None
            self._dirty.add(number)
        if entry.strips is None or not entry.exact:
            self._draw(entry)
        return [without_placeholders(strip.text) for strip in entry.strips or []]

    def reveal(self, number: int, row: int = 0, above: int = 0) -> None:
        """Scroll to a row of an entry, with so many rows above it."""
        self.following = False
        self._settle(number, self._entries[number].gap + row - above)

    # --- drawing ------------------------------------------------------------------------------------------------------

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width or 80

    def _forget_strips(self, *, foldable: bool = False) -> None:
        for number, entry in enumerate(self._entries):
            if not foldable or isinstance(entry.block, FOLDABLE):
                self._dirty.add(number)
        self._schedule()

    def _schedule(self) -> None:
        if self._scheduled or not self.is_attached:
            return
        self._scheduled = True
        if (wait := self._pace.wait) <= 0:
            self.call_later(self.flush)
        else:
            self._frame = self.set_timer(wait, self.flush)

    def flush(self) -> None:
        """Draw what has changed now."""
        self._scheduled = False
        if not self.is_attached or not self.size:
            return
        self._pace.begin()
        self._settle(*self._anchor())
        self.call_after_refresh(self._pace.end)

    def _take_changes(self) -> bool:
        """Forget how changed blocks looked. A gap depends on the neighbour above: the entry after a changed one counts too."""
        for number in self._dirty:
            entry = self._entries[number]
            entry.exact = False
            if entry.stream is None:
                entry.strips = None
            if entry.block.void:
                entry.height, entry.strips = 0, []
        for number in {near for n in self._dirty for near in (n, n + 1) if near < len(self._entries)}:
            entry = self._entries[number]
            above = number - 1
            while above >= 0 and self._entries[above].block.void:
                above -= 1
            before = self._entries[above].block if above >= 0 else None
            entry.gap = 0 if entry.block.void else gap(before, entry.block)
        changed = bool(self._dirty)
        self._dirty.clear()
        return changed

    def _anchor(self) -> tuple[int, int]:
        """What the reader looks at: the first drawn entry in view, and how far the view's top is below its first row."""
        top = self.scroll_offset.y
        first = max(0, bisect_right(self._offsets, top) - 1)
        for number in range(first, min(len(self._offsets), first + self.size.height)):
            if self._entries[number].exact or number in self._dirty:
                return number, top - self._offsets[number]
        return (first, top - self._offsets[first]) if self._offsets else (0, 0)

    def _settle(self, anchor: int, delta: int) -> None:
        """Draw what is in view until nothing in view is a guess, then scroll to the anchor or to the end."""
        if self._settling or not self.size:
            return
        self._settling = True
        try:
            changed = self._take_changes()
            height = self.size.height
            while True:
                self._measure()
                bottom = max(0, self._total - height)
                top = (
                    bottom
                    if self.following or not self._offsets
                    else min(bottom, max(0, self._offsets[anchor] + delta))
                )
                unseen = [entry for entry in self._in_view(top, height) if entry.strips is None or not entry.exact]
                if not unseen:
                    break
                changed = True
                for entry in unseen:
                    self._draw(entry)
            self.following = self.following or top >= bottom
            self.new_below = self.new_below and not self.following
            self.virtual_size = Size(self._width, self._total)
            if round(self.scroll_y) != top:
                self.scroll_to(y=top, animate=False, force=True)
            if changed:
                self._trim(top, height)
            self._paint(top, height)
        finally:
            self._settling = False

    def _paint(self, top: int, height: int) -> None:
        """Have the rows painted that look different now."""
        before, self._painted = self._painted, [self._row(row) for row in range(top, top + height)]
        if len(before) != height:
            self.refresh()
        elif new := [y for y, (old, row) in enumerate(zip(before, self._painted, strict=True)) if row != old]:
            self.refresh_lines(top + new[0], new[-1] - new[0] + 1)

    def _measure(self) -> None:
        heights = [entry.height + entry.gap for entry in self._entries]
        ends = list(accumulate(heights))
        self._offsets = [0, *ends[:-1]] if ends else []
        self._total = ends[-1] + 1 if ends else 0  # a blank row keeps the last line off what stands below

    def _in_view(self, top: int, height: int) -> list[Entry]:
        first = max(0, bisect_right(self._offsets, top) - 1)
        last = bisect_right(self._offsets, top + height - 1)
        return self._entries[first:last]

    def _canvas(self, entry: Entry) -> Canvas:
        return Canvas(
            self._width,
            self.palette,
            entry.expanded,
            self.cwd,
            self.paints,
            self.streams_thinking,
            self.pictures.draw,
            self.diffs,
            self.clock() - entry.began if self.counts and entry.began else 0.0,
        )

    def _draw(self, entry: Entry) -> None:
        canvas = self._canvas(entry)
        block = entry.block
        if block.void:
            entry.strips = []
        elif isinstance(block, AnswerBlock) and not block.done:
            self._draw_stream(entry, block, canvas)
        else:
            entry.strips, entry.stream = self._strips(block_lines(block, canvas)), None
        entry.height = len(entry.strips or [])
        entry.exact = True

    def _draw_stream(self, entry: Entry, block: AnswerBlock, canvas: Canvas) -> None:
        if entry.stream is None or entry.stream.palette is not self.palette or entry.stream.width != canvas.inner:
            from kimi_agent.frontends.tui.draw.markdown import MarkdownStream

            entry.stream, entry.strips = MarkdownStream(canvas.inner, self.palette, self.diffs), []
        kept, lines = entry.stream.update(plain(block.text).lstrip("\n"))
        entry.strips = [*(entry.strips or [])[:kept], *self._strips(indent(lines, BLANK, BLANK))]

    def _strips(self, lines: Iterable[Line]) -> list[Strip]:
        base, width = self.rich_style, self._width
        return [Strip(line).crop_extend(0, width, None).apply_style(base) for line in lines]

    def _trim(self, top: int, height: int) -> None:
        drawn = [number for number, entry in enumerate(self._entries) if entry.strips]
        if len(drawn) <= KEEP:
            return
        middle = bisect_right(self._offsets, top + height // 2)
        for number in sorted(drawn, key=lambda number: abs(number - middle))[KEEP // 2 :]:
            self._entries[number].strips = self._entries[number].stream = None

    # --- Textual ------------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        strip, width = self._row(row), self.size.width
        if blank := strip is None:
            strip = Strip.blank(width, self.rich_style)
        if (selection := self.text_selection) is not None and (span := selection.get_span(row)) is not None:
            strip = painted(strip, *span, selection_style(self.screen, self.palette))
        if strip.cell_length != width:
            strip = strip.crop_extend(0, width, self.rich_style)
        return strip if blank else strip.apply_offsets(0, row)

    def _row(self, row: int) -> Strip | None:
        number = bisect_right(self._offsets, row) - 1
        if number < 0:
            return None
        entry = self._entries[number]
        inside = row - self._offsets[number] - entry.gap
        if not entry.strips or not 0 <= inside < len(entry.strips):
            return None
        strip = entry.strips[inside]
        return self.marker(entry, inside, strip) if self.marker is not None else strip

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        begin, end = selection.start, selection.end
        first, last = begin.y if begin else 0, min(end.y if end else self._total - 1, self._total - 1)
        above = max(0, bisect_right(self._offsets, first) - 1)
        entries, offsets = self._entries[above : len(self._offsets)], self._offsets[above:]
        lines = rows_between(entries, offsets, first, last, lambda entry: block_lines(entry.block, self._canvas(entry)))
        text = selected(lines, begin.x if begin else None, end.x if end and end.y == last else None)
        return without_placeholders(text), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._settling and round(old_value) != round(new_value):
            self.following = new_value >= self.max_scroll_y
            self._settle(*(self._anchor() if new_value > 0 else (0, 0)))

    def on_mount(self) -> None:
        self._schedule()

    def on_resize(self, event: events.Resize) -> None:
        self._place = place = self._place.or_new(self._entries, self._anchor(), self.scroll_offset.y)
        if self._width != self._drawn_width:
            self._drawn_width = self._width
            if self.pictures.many:
                self.pictures.clear()
            for entry in self._entries:
                entry.exact, entry.strips, entry.stream = False, None, None
                entry.height = 0 if entry.block.void else max(entry.height, estimate(entry.block, self._width))
            place.redraw(self._draw)
        self._settle(place.number, place.delta)
        place.top = self.scroll_offset.y

    def block_at(self, row: int) -> Drawable | None:
        """The block that a row of the whole transcript belongs to."""
        number = bisect_right(self._offsets, row) - 1
        return self._entries[number].block if number >= 0 else None

    def on_click(self, event: events.Click) -> None:
        """A click folds or unfolds one block."""
        row = self.scroll_offset.y + event.y
        number = bisect_right(self._offsets, row) - 1
        if number < 0 or self.screen.get_selected_text():
            return
        entry = self._entries[number]
        if isinstance(entry.block, FOLDABLE):
            entry.expanded = not entry.expanded
            self.following = False
            self._dirty.add(number)
            self._schedule()
