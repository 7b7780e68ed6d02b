"""A list to look through: rows, what the chosen one holds, and the keys that do something with it."""

import asyncio

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input

from kimi_agent.core.errors import KimiError
from kimi_agent.core.listing import Listing, RowKey
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.listing import Choice, has_letters, told
from kimi_agent.frontends.tui.draw.hints import Hint, key_hints
from kimi_agent.frontends.tui.draw.lines import Line, clip, segments, spread, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.screens.dialog import Dialog
from kimi_agent.frontends.tui.widgets.field import Field
from kimi_agent.frontends.tui.widgets.panel import LOW_ROWS, TINY_ROWS, LinesView
from kimi_agent.frontends.tui.widgets.preview import Preview
from kimi_agent.frontends.tui.widgets.rows import RowsView

BOLD = Style(bold=True)
REFRESH_S = 1.0
PAUSE_S = 0.08
"""A preview or a search is begun after so long without another key."""
WIDE, HIGH = 100, 22
"""The preview stands beside the rows from so many columns, below them from so many lines; else a key shows it instead."""
KEY_NAMES = {"alt+up": "Alt-↑", "alt+down": "Alt-↓", "delete": "Del"}


class ListingScreen(Dialog[str | None]):
    """Dismisses with the id of the row that was picked, None when it was closed."""

    def __init__(self, listing: Listing, palette: Palette) -> None:
        super().__init__()
        self._listing, self._palette = listing, palette
        self._choice = Choice()
        self._keys = {key.key: key for key in listing.keys}
        self._letters = has_letters(listing)
        self._acting = False
        self._swapped = False  # the preview stands in the place of the rows
        self._told, self._bad = "", False
        self._previewed: str | None = None  # the id of the row that `_text` is about
        self._text = ""
        self._title = LinesView(self._draw_title, id="listing-title")
        self._head = LinesView(self._draw_head, id="listing-head")
        self._filter = Field("Type to filter", id="listing-filter")
        self._filter.display = not self._letters
        self._rows = RowsView(self._choice, palette, plain(listing.empty))
        self._preview = Preview(listing, palette)
        self._foot = LinesView(self._draw_foot, id="listing-foot")

    def compose(self) -> ComposeResult:
        with Vertical(id="listing"):
            yield self._title
            yield self._head
            yield self._filter
            with Container(id="listing-main"):
                yield self._rows
                yield self._preview
            yield self._foot

    def on_mount(self) -> None:
        self._take_rows()
        (self._rows if self._letters else self._filter).focus()
        self._moved()
        if self._listing.live:
            self.set_interval(REFRESH_S, self._tick)

    # --- the rows -----------------------------------------------------------------------------------------------------

    def _take_rows(self) -> None:
        try:
            changed = self._choice.take(self._listing.rows())
        except (KimiError, OSError) as error:
            self._tell(told(error), bad=True)
            return
        if changed:
            self._rows.update()
            self._fit()
            self._rows.reveal()
            self._title.redraw()
            self._foot.redraw()
        self._head.redraw()

    def _tick(self) -> None:
        if self.is_current:
            self._take_rows()
            self._look(0)
            if self._listing.search is not None and self._choice.words:
                self.run_worker(self._seek(self._filter.value, 0), group="search", exclusive=True)

    @on(Input.Changed)
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._choice.filter(event.value)
        if self._listing.search is not None and event.value.strip():
            self.run_worker(self._seek(event.value, PAUSE_S), group="search", exclusive=True)
        self._show_choice()

    async def _seek(self, text: str, pause_s: float) -> None:
        assert self._listing.search is not None
        await asyncio.sleep(pause_s)
        try:
            found = await self._listing.search(text)
        except (KimiError, OSError) as error:
            self._tell(told(error), bad=True)
            return
        if self._filter.value == text and self._choice.found(found):
            self._show_choice()

    def _show_choice(self) -> None:
        self._rows.update()
        self._title.redraw()
        self._moved()

    def _move(self, index: int) -> None:
        self._choice.choose(index)
        self._moved()

    def _moved(self) -> None:
        self._rows.reveal()
        if self._choice.id != self._previewed:
            self._look(PAUSE_S if self._previewed is not None else 0)

    @on(RowsView.Clicked)
    def _clicked(self, event: RowsView.Clicked) -> None:
        event.stop()
        self._tell("")
        self._moved()
        if event.twice:
            self._pick()

    def _pick(self) -> None:
        if not self._acting:
            self.dismiss(self._choice.id if self._listing.picks else None)

    # --- the preview --------------------------------------------------------------------------------------------------

    def _look(self, pause_s: float) -> None:
        if self._listing.preview is not None and self._preview.display:
            self.run_worker(self._compute(self._choice.id, pause_s), group="preview", exclusive=True)

    async def _compute(self, row: str | None, pause_s: float) -> None:
        assert self._listing.preview is not None
        await asyncio.sleep(pause_s)
        try:
            text = await self._listing.preview(row) if row is not None else ""
        except (KimiError, OSError) as error:
            text = told(error)
        if row != self._choice.id or (row, text) == (self._previewed, self._text):
            return
        self._preview.show(text, same=row == self._previewed)
        self._previewed, self._text = row, text

    def _swap(self, on: bool) -> None:
        """Where there is no room for both: the preview instead of the rows, or the rows again."""
        if self._listing.preview is None or self.has_class("-beside") or self.has_class("-below"):
            return
        self._swapped = on
        self._fit()
        self._look(0)

    # --- the place that everything takes ------------------------------------------------------------------------------

    def on_resize(self) -> None:
        self._fit()
        self.call_after_refresh(self._rows.reveal)

    def _fit(self) -> None:
        """Lay out for the size of the screen: high enough for the rows, and no higher than the screen allows."""
        width, height = self.size
        previews = self._listing.preview is not None
        beside, low = previews and width >= WIDE, height < LOW_ROWS
        below = previews and not beside and height >= HIGH
        self.set_class(beside, "-beside")
        self.set_class(below, "-below")
        if beside or below:
            self._swapped = False
        self._rows.display = not self._swapped
        self._preview.display = beside or below or self._swapped
        self._head.display = self._listing.head is not None and height >= TINY_ROWS
        self._title.display = height >= TINY_ROWS
        room = height if low else height - 4
        around = 1 if height < TINY_ROWS else 2 if low else 2 + 1 + 1 + 2  # paddings, title, margins and the last line
        around += (1 if low else 2) * self._filter.display
        around += len(self._draw_head(max(1, width * 9 // 10 - 6))) * self._head.display
        self.query_one("#listing").styles.height = room if previews else min(room, self._rows.height_of_all + around)
        self._foot.redraw()

    def _draw_title(self, width: int) -> list[Line]:
        shown, all_rows = len(self._choice.shown), len(self._choice.rows)
        count = f"{shown:,} of {all_rows:,}" if shown != all_rows else f"{all_rows:,}" if all_rows else ""
        return [spread(Text(plain(self._listing.title), BOLD), Text(count, self._palette.muted), width)]

    def _draw_head(self, width: int) -> list[Line]:
        if self._listing.head is None:
            return []
        return wrap(Text(plain(self._listing.head()), self._palette.muted), width)

    def _draw_foot(self, width: int) -> list[Line]:
        if self._told:
            style = self._palette.error if self._bad else self._palette.success
            return [[Segment(clip(self._told, width), style)]]
        return [segments(key_hints(self._hints(), self._palette, width, ellipsis=True))]

    def _hints(self) -> list[Hint]:
        """The keys and what they do, the most needed first."""
        if not self._choice.rows:
            return [("Esc", "close")]
        typing = self._filter.has_focus and self._letters
        hints = [("Enter", self._listing.picks)] if self._listing.picks else []
        hints.append(("Esc", "back" if typing or self._swapped else "close"))
        if self._listing.preview is not None and not (self.has_class("-beside") or self.has_class("-below")):
            hints.append(("←", "list") if self._swapped else ("→", "view"))
        if self._letters and not typing:
            hints.append(("/", "search" if self._listing.search is not None else "filter"))
        for key in self._listing.keys:
            if key.help and not (typing and len(key.key) == 1):
                hints.append((KEY_NAMES.get(key.key, key.key), plain(key.help)))
        return hints

    def _tell(self, text: str, *, bad: bool = False) -> None:
        """Say something in the last line, until the next key."""
        self._told, self._bad = " ".join(plain(text).split()), bad
        self._foot.redraw()

    def on_descendant_focus(self) -> None:
        self._foot.redraw()

    # --- the keys -----------------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        typing = self._filter.has_focus
        if not self._handle(event.key, event.character, typing):
            return
        event.stop()
        event.prevent_default()

    def _handle(self, key: str, character: str | None, typing: bool) -> bool:
        """Do what a key says; whether it was one of ours."""
        name = key if len(key) > 1 and character not in self._keys else character or key
        if (row_key := self._keys.get(name)) is not None and not (typing and self._edits(name)):
            self._act(row_key)
        elif key in ("escape", "ctrl+c"):
            self._leave(typing, key)
        elif key == "enter":
            self._pick()
        elif key in _STEPS:
            self._step(key)
        elif key in ("shift+up", "shift+down", "ctrl+up", "ctrl+down"):
            self._preview.scroll_relative(y=-3 if key.endswith("up") else 3, animate=False)
        elif key == "right" and (not typing or self._filter.cursor_at_end):
            self._swap(True)
        elif key == "left" and (self._swapped or not typing):
            self._swap(False)
        elif key == "space" and not typing:
            self._swap(not self._swapped)
        elif key == "slash" and not typing:
            self._filter.display = True
            self._filter.focus()
            self._fit()
        elif key == "tab" and typing and self._letters:
            self._rows.focus()
        else:
            return key in ("tab", "shift+tab")
        return True

    def _edits(self, name: str) -> bool:
        """Whether a key changes the filter at the cursor."""
        return len(name) == 1 or (name == "delete" and not self._filter.cursor_at_end)

    def _step(self, key: str) -> None:
        self._tell("")
        if self._swapped:
            pages = {"pageup": -1, "pagedown": 1}
            by = pages[key] * self._preview.size.height if key in pages else _STEPS[key]
            self._preview.scroll_relative(y=by, animate=False)
            return
        page = max(1, self._rows.size.height - 1)
        self._move(self._choice.index + {"pageup": -page, "pagedown": page}.get(key, _STEPS[key]))

    def _leave(self, typing: bool, key: str) -> None:
        if key == "escape" and self._swapped:
            self._swap(False)
        elif key == "escape" and self._filter.value:
            self._filter.value = ""
            self._close_filter()
        elif key == "escape" and typing and self._letters:
            self._close_filter()
        else:
            self.dismiss(None)

    def _close_filter(self) -> None:
        if self._letters:
            self._filter.display = False
            self._rows.focus()
            self._fit()

    def _act(self, key: RowKey) -> None:
        row = self._choice.id
        if row is not None and not self._acting:
            self._acting = True
            self._tell("")
            self.run_worker(self._acted(key, row), group="act")

    async def _acted(self, key: RowKey, row: str) -> None:
        try:
            answer = await key.act(row)
            if key.closes:
                self.dismiss(None)
                return
            self._tell(answer)
        except (KimiError, OSError) as error:
            self._tell(told(error), bad=True)
        finally:
            self._acting = False
        self._take_rows()
        self._look(0)


_FAR = 1_000_000_000
_STEPS = {"up": -1, "down": 1, "pageup": -1, "pagedown": 1, "home": -_FAR, "end": _FAR}
