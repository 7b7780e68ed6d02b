"""The panel for questions with options: a tab per question, several answers where allowed, and always room for other words."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from kimi_agent.core.ask import Answer, Choice, Chosen, Dismissed
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.tui.draw.canvas import GUTTER
from kimi_agent.frontends.tui.draw.lines import Line, clip, fold, indent, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.panel import Clock, Guard, LinesView

BOLD, UNDERLINE = Style(bold=True), Style(underline=True)
OTHER = "Something else"


class QuestionPanel(Vertical, can_focus=True):
    """Up, Down and digits choose, Space marks where several may be marked, Enter goes on, Left, Right and Tab change the tab."""

    @dataclass
    class Answered(Message):
        answer: Answer

    @dataclass
    class Typed(Message):
        """A key that came too early to be an answer; it was meant for the prompt."""

        text: str

    def __init__(self, question: Choice, palette: Palette, clock: Clock = time.monotonic) -> None:
        super().__init__(classes="panel")
        self.items, self.palette = question.items, palette
        self.guard = Guard(clock)
        self.tab = 0
        self.cursor = [0] * len(self.items)
        self.picked: list[set[int]] = [set() for _ in self.items]
        self.other = [""] * len(self.items)
        self.feedback = Input(placeholder="Your answer (Enter takes it, Esc goes back)", id="feedback")
        self._body = LinesView(self._draw, id="panel-body")
        self._rows: list[int] = []  # row of each option in the body

    def compose(self) -> ComposeResult:
        yield self._body
        yield self.feedback

    def on_mount(self) -> None:
        self.feedback.display = False
        self.call_after_refresh(self.guard.start)

    # --- content ------------------------------------------------------------------------------------------------------

    def _draw(self, width: int) -> Sequence[Line]:
        item, palette = self.items[self.tab], self.palette
        lines: list[Line] = [*self._tabs(width), []] if len(self.items) > 1 else []
        lines += indent(
            fold(Text(visible(item.question), palette.text + BOLD), width - 5), Segment(" ? ", palette.warning)
        )
        self._rows = []
        options = [(visible(o.label), visible(o.description)) for o in item.options]
        for number, (label, description) in enumerate([*options, (OTHER, visible(self.other[self.tab]))]):
            self._rows.append(len(lines))
            chosen = number == self.cursor[self.tab]
            box = ("[x] " if number in self.picked[self.tab] else "[ ] ") if item.multiple else ""
            text = Text(f"{number + 1}  {box}{label}", palette.primary + BOLD if chosen else palette.text)
            lines += indent(wrap(text, width - GUTTER - 1), Segment(" ❯ " if chosen else "   ", palette.primary))
            if description:
                pad = Segment(" " * (GUTTER + 3 + len(box)))
                lines += indent(wrap(Text(description, palette.muted), width - GUTTER - 8), pad, pad)
        keys = "Space marks, Enter goes on, Esc closes" if item.multiple else "Enter takes it, Esc closes"
        return [*lines, [], [Segment(clip(f"   {keys}", width), palette.faint)]]

    def _tabs(self, width: int) -> list[Line]:
        line: Line = [Segment("   ")]
        for number, item in enumerate(self.items):
            done = bool(self.picked[number] or self.other[number])
            name = clip(visible(item.header) or f"Question {number + 1}", max(6, (width - 6) // len(self.items) - 4))
            style = self.palette.primary + BOLD + UNDERLINE if number == self.tab else self.palette.muted
            line += [Segment(f"{'✓ ' if done else ''}{name}", style), Segment("   ")]
        return [line]

    def _redraw(self) -> None:
        self._body.redraw()
        self.call_after_refresh(self._reveal)

    def _reveal(self) -> None:
        if self._rows:
            self._body.reveal(self._rows[self.cursor[self.tab]])

    # --- keys ---------------------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        if self.feedback.has_focus:
            if event.key == "escape":
                event.stop()
                self._close_feedback()
            return
        if event.key not in ("enter", "escape", "up", "down", "left", "right", "tab") and not event.is_printable:
            return
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.post_message(self.Answered(Dismissed()))
        elif not self.guard.passes():
            if event.is_printable and event.character:
                self.post_message(self.Typed(event.character))
        else:
            self._press(event)
            self._redraw()

    def _press(self, event: events.Key) -> None:
        item = self.items[self.tab]
        count = len(item.options) + 1
        match event.key:
            case "up" | "down":
                step = 1 if event.key == "down" else -1
                self.cursor[self.tab] = (self.cursor[self.tab] + step) % count
            case "left" | "right" | "tab":
                self.tab = (self.tab + (-1 if event.key == "left" else 1)) % len(self.items)
            case "space" if item.multiple:
                self._mark(self.cursor[self.tab])
            case "enter":
                self._take()
            case _ if event.character in tuple("123456789"[:count]):
                self.cursor[self.tab] = int(event.character or 1) - 1
                if item.multiple:
                    self._mark(self.cursor[self.tab])
                else:
                    self._take()
            case _:
                pass

    def _mark(self, number: int) -> None:
        if number == len(self.items[self.tab].options):
            self._open_feedback()
        else:
            self.picked[self.tab] ^= {number}

    def _take(self) -> None:
        """Settle this question with what is marked, or with the option under the cursor, and go on to the next open one."""
        item, number = self.items[self.tab], self.cursor[self.tab]
        if number == len(item.options) and not self.other[self.tab]:
            self._open_feedback()
            return
        if not item.multiple:
            self.picked[self.tab] = {number} if number < len(item.options) else set()
            self.other[self.tab] = self.other[self.tab] if number == len(item.options) else ""
        elif not self.picked[self.tab] and not self.other[self.tab]:
            self.picked[self.tab] = {number}
        self._go_on()

    def _go_on(self) -> None:
        still_open = [n for n in range(len(self.items)) if not self.picked[n] and not self.other[n]]
        if still_open:
            self.tab = next((n for n in still_open if n > self.tab), still_open[0])
            return
        values = tuple(
            (*(item.options[number].label for number in sorted(picked)), *([other] if other else []))
            for item, picked, other in zip(self.items, self.picked, self.other, strict=True)
        )
        self.post_message(self.Answered(Chosen(values)))

    def _open_feedback(self) -> None:
        self.feedback.value = self.other[self.tab]
        self.feedback.display = True
        self.feedback.focus()

    def _close_feedback(self) -> None:
        self.feedback.display = False
        self.focus()
        self._redraw()

    @on(Input.Submitted)
    def _take_feedback(self, event: Input.Submitted) -> None:
        event.stop()
        self.other[self.tab] = event.value.strip()
        self._close_feedback()
        if self.other[self.tab] and not self.items[self.tab].multiple:
            self.picked[self.tab] = set()
            self._go_on()
            self._redraw()

    def toggle_expanded(self) -> None:
        self.toggle_class("-expanded")
