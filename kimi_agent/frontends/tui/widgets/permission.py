"""The panel that asks whether a call may run. It shows the whole effect: every character, wrapped and scrolling, never cut."""

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

from kimi_agent.core.ask import Allow, Answer, Deny, Permission
from kimi_agent.core.display import Diff, Plain, Terminal
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.describe import relative
from kimi_agent.frontends.tui.draw.canvas import GUTTER
from kimi_agent.frontends.tui.draw.code import highlight
from kimi_agent.frontends.tui.draw.diff import diff_lines
from kimi_agent.frontends.tui.draw.lines import Line, fold, indent, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.panel import Clock, Guard, LinesView

BOLD = Style(bold=True)
VERBS = {
    "run": "wants to run a command",
    "write": "wants to change a file",
    "fetch": "wants to fetch from the network",
    "mcp": "wants to use a tool of a server",
    "read": "wants to read outside of the project",
}
BLANK = Segment(" " * GUTTER)


class PermissionPanel(Vertical, can_focus=True):
    """1 once, 2 for this session, 3 no, 4 no with feedback; arrows and Enter do as well; Ctrl-E makes it as high as it can be."""

    @dataclass
    class Answered(Message):
        answer: Answer

    @dataclass
    class Typed(Message):
        """A key that came too early to be an answer; it was meant for the prompt."""

        text: str

    def __init__(self, question: Permission, palette: Palette, clock: Clock = time.monotonic) -> None:
        super().__init__(classes="panel")
        self.question, self.palette = question, palette
        self.guard = Guard(clock)
        self.selected = 0
        self.feedback = Input(placeholder="What should be done instead? (Enter sends, Esc goes back)", id="feedback")
        self._body = LinesView(self._draw_body, id="panel-body")
        self._options = LinesView(self._draw_options, id="panel-options")

    def compose(self) -> ComposeResult:
        yield LinesView(self._draw_title, id="panel-title")
        yield self._body
        yield self._options
        yield self.feedback

    def on_mount(self) -> None:
        self.feedback.display = False
        self.call_after_refresh(self.guard.start)

    # --- content ------------------------------------------------------------------------------------------------------

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(key, words) of what may be answered."""
        scope = self.question.session_scope
        return [
            ("1", "Yes, this once"),
            *([("2", f"Yes, and for the rest of this session: {visible(scope)}")] if scope else []),
            ("3", "No"),
            ("4", "No, and say what to do instead"),
        ]

    def _draw_title(self, width: int) -> Sequence[Line]:
        effects = self.question.effects
        kinds = [kind for kind in ("run", "mcp", "fetch", "write", "read") if any(e.kind == kind for e in effects)]
        verb = VERBS[kinds[0]] if kinds else "wants to run"
        if isinstance(preview := self.question.preview, Diff) and preview.created:
            verb = "wants to create a file"
        text = Text.assemble((visible(self.question.call.name), BOLD), (f" {verb}", self.palette.text))
        return indent(wrap(text, width - GUTTER), Segment(" ? ", self.palette.warning + BOLD))

    def _draw_body(self, width: int) -> Sequence[Line]:
        inner = width - GUTTER - 1
        return indent([*self._preview(inner), *self._targets(inner)], BLANK, BLANK)

    def _preview(self, width: int) -> list[Line]:
        palette = self.palette
        match self.question.preview:
            case Diff(path=path, unified=unified, added=added, removed=removed):
                counts = Text.assemble((f"+{added}", palette.success), (f" −{removed}", palette.error))
                name = Text(visible(relative(path, self.question.cwd)) + "  ", palette.text + BOLD)
                return [*wrap(name + counts, width), *diff_lines(visible(unified), path, width, palette)]
            case Terminal(command=command):
                return fold(highlight(visible(command), "bash", palette), width)
            case Plain(text=text):
                return fold(Text(visible(text), palette.text), width)
            case _:
                return fold(Text(visible(self.question.call.arguments), palette.text), width)

    def _targets(self, width: int) -> list[Line]:
        """What the effects name beyond the preview: real paths, hosts, the folder of a command."""
        question, palette = self.question, self.palette
        shown = {question.preview.command.strip()} if isinstance(question.preview, Terminal) else set()
        lines: list[Line] = []
        for effect in question.effects:
            if effect.target.strip() not in shown:
                words = Text.assemble((f"{effect.kind} ", palette.muted), (visible(effect.target), palette.muted))
                lines += wrap(words, width)
        if question.cwd and isinstance(question.preview, Terminal):
            lines += wrap(Text(f"in {visible(question.cwd)}", palette.muted), width)
        return [[], *lines] if lines else []

    def _draw_options(self, width: int) -> Sequence[Line]:
        lines: list[Line] = []
        for number, (key, words) in enumerate(self.choices):
            chosen = number == self.selected
            style = self.palette.primary + BOLD if chosen else self.palette.text
            mark = Segment(" ❯ " if chosen else "   ", self.palette.primary)
            lines += indent(wrap(Text(f"{key}  {words}", style), width - GUTTER), mark)
        return lines

    # --- keys ---------------------------------------------------------------------------------------------------------

    async def on_key(self, event: events.Key) -> None:
        if self.feedback.has_focus:
            if event.key == "escape":
                event.stop()
                self._close_feedback()
            return
        scrolls = {"pageup": self._body.scroll_page_up, "pagedown": self._body.scroll_page_down,
                   "home": self._body.scroll_home, "end": self._body.scroll_end}  # fmt: skip
        if event.key in scrolls:
            event.stop()
            scrolls[event.key](animate=False)
        elif event.is_printable or event.key in ("enter", "up", "down", "backspace"):
            event.stop()
            self._press(event)

    def _press(self, event: events.Key) -> None:
        if not self.guard.passes():
            if event.is_printable and event.character:
                self.post_message(self.Typed(event.character))
            return
        if event.key in ("up", "down"):
            self.selected = (self.selected + (1 if event.key == "down" else -1)) % len(self.choices)
            self._options.redraw()
            return
        key = self.choices[self.selected][0] if event.key == "enter" else event.character
        if key in [choice for choice, _ in self.choices]:
            self._answer(str(key))

    def _answer(self, key: str) -> None:
        match key:
            case "1":
                self.post_message(self.Answered(Allow("once")))
            case "2":
                self.post_message(self.Answered(Allow("session")))
            case "3":
                self.post_message(self.Answered(Deny()))
            case _:
                self.feedback.display = True
                self._options.display = False
                self.feedback.focus()

    def _close_feedback(self) -> None:
        self.feedback.display = False
        self._options.display = True
        self.focus()

    @on(Input.Submitted)
    def _send_feedback(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            self.post_message(self.Answered(Deny(event.value.strip())))

    def toggle_expanded(self) -> None:
        self.toggle_class("-expanded")
