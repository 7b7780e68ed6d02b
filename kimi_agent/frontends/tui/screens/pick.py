"""Pick one of a list; typing filters it."""

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from kimi_agent.core.ask import Option
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.tui.draw.hints import key_hints
from kimi_agent.frontends.tui.draw.lines import Line, clip, segments, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.screens.dialog import Dialog
from kimi_agent.frontends.tui.widgets.field import Field
from kimi_agent.frontends.tui.widgets.panel import LOW_ROWS, LinesView

BOLD = Style(bold=True)
KEYS = (("Enter", "choose"), ("Esc", "close"))


class PickScreen(Dialog[int | None]):
    """Dismisses with the index of the option, None for Esc."""

    def __init__(self, title: str, options: Sequence[Option], palette: Palette) -> None:
        super().__init__()
        self._title, self._palette = title, palette
        self._options = [(" ".join(plain(o.label).split()), " ".join(plain(o.description).split())) for o in options]
        self._shown = list(range(len(options)))
        self._selected = 0
        self._list = LinesView(self._draw, id="pick-list")
        self._foot = LinesView(self._draw_foot, id="pick-foot")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(plain(self._title), BOLD), id="dialog-title")
            yield Field("Type to filter", id="pick-filter")
            yield self._list
            yield self._foot

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_resize(self) -> None:
        width, height = self.size
        low = height < LOW_ROWS
        around = (2 if low else 8) + len(wrap(Text(plain(self._title)), max(1, width * 4 // 5 - 4)))
        self._list.styles.max_height = max(1, (height if low else height * 4 // 5) - around)

    def _draw(self, width: int) -> list[Line]:
        lines: list[Line] = []
        column = min(max((cell_len(label) for label, _ in self._options), default=0) + 2, width * 3 // 5)
        for number, index in enumerate(self._shown):
            label, description = self._options[index]
            chosen = number == self._selected
            name = Text(clip(label, column - 2 if description else width - 3))
            name.pad_right(max(0, column - name.cell_len))
            style = self._palette.primary + BOLD if chosen else self._palette.text
            lines.append(
                [
                    Segment("❯ " if chosen else "  ", self._palette.primary),
                    Segment(name.plain, style),
                    Segment(clip(description, max(0, width - column - 3)), self._palette.muted),
                ]
            )
        return lines or [[Segment("  Nothing matches.", self._palette.muted)]]

    def _draw_foot(self, width: int) -> list[Line]:
        return [segments(key_hints(KEYS, self._palette, width))]

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        words = event.value.lower().split()
        self._shown = [
            index
            for index, (label, description) in enumerate(self._options)
            if all(word in f"{label} {description}".lower() for word in words)
        ]
        self._select(0)

    @on(Input.Submitted)
    def _pick(self) -> None:
        if self._shown:
            self.dismiss(self._shown[self._selected])

    def _select(self, number: int) -> None:
        self._selected = max(0, min(number, len(self._shown) - 1))
        self._list.redraw()
        self.call_after_refresh(self._list.reveal, self._selected)

    async def on_key(self, event: events.Key) -> None:
        steps = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10}
        if event.key in ("escape", "ctrl+c"):
            event.stop()
            self.dismiss(None)
        elif event.key in steps:
            event.stop()
            self._select(self._selected + steps[event.key])
