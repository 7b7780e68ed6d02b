"""The panel for questions with options: a tab per question, several answers where allowed, and always room for other words."""

import time
from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult

from kimi_agent.core.ask import Choice, Chosen, Dismissed
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.guard import GUARD_S, Clock
from kimi_agent.frontends.tui.draw.canvas import GUTTER
from kimi_agent.frontends.tui.draw.hints import Hint, key_hints
from kimi_agent.frontends.tui.draw.lines import Line, clip, indent, segments, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.panel import AskPanel, LinesView

BOLD, UNDERLINE = Style(bold=True), Style(underline=True)
OTHER = "Something else"


class QuestionPanel(AskPanel):
    """Up, Down and digits choose, Space marks where several may be marked, Enter goes on, Left, Right and Tab change the tab.

    Where a question allows it, its last option is to write something else.

    Several questions end with a review of the answers, which Enter sends. A question's text, such as a plan under review,
    stands above it and scrolls.
    """

    refusal = Dismissed()

    def __init__(self, question: Choice, palette: Palette, clock: Clock = time.monotonic) -> None:
        super().__init__(palette, clock, "Your answer · Enter send · Esc back")
        self.question, self.items = question, question.items
        self.text = LinesView(lambda width: _text_lines(question.text, width, palette), id="panel-text")
        if question.text:
            self.scrolled = self.text
        self.tab = 0
        self.cursor = [0] * len(self.items)
        self.picked: list[set[int]] = [set() for _ in self.items]
        self.other = [""] * len(self.items)
        self._rows: list[int] = []  # row of each option in the body
        self._clock = clock
        self._moved_on = float("-inf")  # when a question was settled, or Enter came too early after that

    def on_resize(self) -> None:
        super().on_resize()
        if self.scrolled is self.text:  # the options stay in sight, the text has keys of its own
            self.call_after_refresh(self._reveal)

    def compose(self) -> ComposeResult:
        if self.scrolled is self.text:
            yield self.text
        yield self.body
        yield self.feedback

    def share_rows(self, room: int, width: int) -> None:
        """The options come first; the text has what is left, a few rows at least."""
        if self.scrolled is self.text:
            rows = min(len(self.draw_body(width - 1)), max(1, room // 2))
            self.text.styles.max_height = max(1, room - rows)
            room = rows
        super().share_rows(room, width)

    # --- content ------------------------------------------------------------------------------------------------------

    @property
    def reviewing(self) -> bool:
        return self.tab == len(self.items)

    def draw_body(self, width: int) -> Sequence[Line]:
        if self.reviewing:
            return self._draw_review(width)
        item, palette = self.items[self.tab], self.palette
        lines: list[Line] = [*self._tabs(width), []] if len(self.items) > 1 else []
        lines += indent(
            wrap(Text(visible(item.question), palette.text + BOLD), width - 5), Segment(" ? ", palette.warning)
        )
        lines.append([])
        self._rows = []
        options = [(visible(o.label), visible(o.description)) for o in item.options]
        if item.other:
            options.append((OTHER, visible(self.other[self.tab])))
        for number, (label, description) in enumerate(options):
            self._rows.append(len(lines))
            chosen = number == self.cursor[self.tab]
            box = ("[x] " if number in self.picked[self.tab] else "[ ] ") if item.multiple else ""
            text = Text.assemble((f"{number + 1}  {box}{label}", palette.primary + BOLD if chosen else palette.text))
            beside = self.scrolled is self.text and text.cell_len + cell_len(description) + GUTTER + 3 <= width
            if beside:  # what is asked about needs the rows
                text.append(f"  {description}", palette.muted)
            lines += indent(wrap(text, width - GUTTER - 1), Segment(" ❯ " if chosen else "   ", palette.primary))
            if description and not beside:
                pad = Segment(" " * (GUTTER + 3 + len(box)))
                lines += indent(wrap(Text(description, palette.muted), width - GUTTER - 8), pad, pad)
        if self.scrolled is self.text:
            return lines
        keys = [("Enter", "go on"), ("Space", "mark")] if item.multiple else [("Enter", "choose")]
        return [*lines, [], self._keys(keys, width)]

    def _draw_review(self, width: int) -> list[Line]:
        palette, lines = self.palette, [*self._tabs(width), []]
        for number, (item, answer) in enumerate(zip(self.items, self._answers(), strict=True), 1):
            key = Segment(f" {number} ", palette.muted)
            lines += indent(wrap(Text(visible(item.question), palette.muted), width - 4), key)
            said = (
                Text(visible(", ".join(answer)), palette.text + BOLD)
                if answer
                else Text("no answer yet", palette.warning)
            )
            lines += indent(wrap(said, width - 6), Segment("     "))
        keys = [("Enter", "send the answers"), (f"1-{len(self.items)}", "change one")]
        return [*lines, [], self._keys(keys, width)]

    def _keys(self, hints: Sequence[Hint], width: int) -> Line:
        return [Segment(" " * GUTTER), *segments(key_hints(hints, self.palette, width - GUTTER))]

    def _tabs(self, width: int) -> list[Line]:
        line: Line = [Segment("   ")]
        last = Segment("Send", self._tab_style(len(self.items)))
        for number, item in enumerate(self.items):
            done = bool(self.picked[number] or self.other[number])
            name = clip(visible(item.header) or f"Question {number + 1}", max(6, (width - 14) // len(self.items) - 4))
            line += [Segment(f"{'✓ ' if done else ''}{name}", self._tab_style(number)), Segment("   ")]
        return [[*line, last]]

    def _tab_style(self, number: int) -> Style:
        return self.palette.primary + BOLD + UNDERLINE if number == self.tab else self.palette.muted

    def _redraw(self) -> None:
        self.body.redraw()
        self.call_after_refresh(self._reveal)

    def _reveal(self) -> None:
        if self._rows and not self.reviewing:
            self.body.reveal(self._rows[self.cursor[self.tab]])

    # --- keys ---------------------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        if event.key == "escape" and not self.feedback.has_focus:
            event.stop()
            self.post_message(self.Answered(self.refusal))
        else:
            await super().on_key(event)

    def press(self, event: events.Key) -> None:
        self._press(event)
        self._redraw()

    def _press(self, event: events.Key) -> None:
        if event.key == "enter" and self._clock() - self._moved_on < GUARD_S:
            self._moved_on = self._clock()  # the Enter of habit after a digit, or a key that is held down
        elif event.key in ("left", "right", "tab"):
            tabs = len(self.items) + (len(self.items) > 1)
            self.tab = (self.tab + (-1 if event.key == "left" else 1)) % tabs
        elif self.reviewing:
            self._press_in_review(event)
        else:
            self._press_in_question(event)

    def _press_in_review(self, event: events.Key) -> None:
        if event.key == "enter":
            self._go_on()
        elif event.character in tuple("123456789"[: len(self.items)]):
            self.tab = int(event.character or 1) - 1

    def _press_in_question(self, event: events.Key) -> None:
        item = self.items[self.tab]
        count = len(item.options) + item.other
        match event.key:
            case "up" | "down":
                step = 1 if event.key == "down" else -1
                self.cursor[self.tab] = (self.cursor[self.tab] + step) % count
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
            self._open_other()
        else:
            self.picked[self.tab] ^= {number}

    def _take(self) -> None:
        """Settle this question with what is marked, or with the option under the cursor, and go on to the next open one."""
        item, number = self.items[self.tab], self.cursor[self.tab]
        if number == len(item.options) and not self.other[self.tab]:
            self._open_other()
            return
        if not item.multiple:
            self.picked[self.tab] = {number} if number < len(item.options) else set()
            self.other[self.tab] = self.other[self.tab] if number == len(item.options) else ""
        elif not self.picked[self.tab] and not self.other[self.tab]:
            self.picked[self.tab] = {number}
        self._go_on()

    def _go_on(self) -> None:
        """To the next open question, then to the review, then away."""
        self._moved_on = self._clock()
        still_open = [n for n in range(len(self.items)) if not self.picked[n] and not self.other[n]]
        if still_open:
            self.tab = next((n for n in still_open if n > self.tab), still_open[0])
        elif len(self.items) > 1 and not self.reviewing:
            self.tab = len(self.items)
        else:
            self.post_message(self.Answered(Chosen(self._answers())))

    def _answers(self) -> tuple[tuple[str, ...], ...]:
        return tuple(
            (*(item.options[number].label for number in sorted(picked)), *([other] if other else []))
            for item, picked, other in zip(self.items, self.picked, self.other, strict=True)
        )

    def _open_other(self) -> None:
        self.open_feedback(self.other[self.tab])

    def close_feedback(self) -> None:
        super().close_feedback()
        self._redraw()

    def take_feedback(self, text: str) -> None:
        self.other[self.tab] = text
        if text and not self.items[self.tab].multiple:
            self.picked[self.tab] = set()
            self._go_on()
        self.close_feedback()


def _text_lines(text: str, width: int, palette: Palette) -> list[Line]:
    """What the questions are about, such as a plan under review."""
    from kimi_agent.frontends.tui.draw.markdown import markdown_lines

    return indent(markdown_lines(visible(text).strip("\n"), width - GUTTER - 1, palette), Segment(" " * GUTTER))
