"""The panel that asks whether a call may run. It shows the whole effect: every character, wrapped and scrolling, never cut."""

import time
from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.app import ComposeResult

from kimi_agent.core.ask import Allow, Answer, Deny, Permission
from kimi_agent.core.display import Diff, Plain, Terminal
from kimi_agent.core.sanitize import visible
from kimi_agent.frontends.common.describe import effect_words, relative
from kimi_agent.frontends.common.guard import Clock
from kimi_agent.frontends.common.look import Diffs
from kimi_agent.frontends.common.segments import WORDS, always_words, told_segments
from kimi_agent.frontends.tui.draw.blanks import blanks_of_command, blanks_of_diff
from kimi_agent.frontends.tui.draw.canvas import GUTTER
from kimi_agent.frontends.tui.draw.code import highlight
from kimi_agent.frontends.tui.draw.lines import Line, fill, fold, indent, wrap
from kimi_agent.frontends.tui.draw.palette import Palette
from kimi_agent.frontends.tui.widgets.panel import TINY_ROWS, AskPanel, LinesView

BOLD = Style(bold=True)
VERBS = {
    "widen": "wants a command to reach beyond the box",
    "run": "wants to run a command",
    "write": "wants to change a file",
    "fetch": "wants to fetch from the network",
    "mcp": "wants to use a tool of a server",
    "read": "wants to read outside of the project",
    "stop": "wants to stop a background task",
}
ANSWERS: dict[str, Answer] = {"1": Allow("once"), "2": Allow("session"), "a": Allow("always"), "3": Deny()}
BLANK = Segment(" " * GUTTER)
KEY_BLANK = Segment(" " * (GUTTER + 3))


class PermissionPanel(AskPanel):
    """1 once, 2 for this session, A always, 3 no, 4 no with feedback; arrows and Enter do as well; Ctrl-E makes it as high as it
    can be.
    """

    refusal = Deny()

    def __init__(
        self,
        question: Permission,
        palette: Palette,
        clock: Clock = time.monotonic,
        folder: str = "",
        diffs: Diffs = "auto",
    ) -> None:
        """`folder` is the session's: another one, after a `cd`, stands out."""
        super().__init__(palette, clock, "What should be done instead? · Enter send · Esc back")
        self.question, self.folder, self._diffs = question, folder, diffs
        self.selected = 0
        self._title = LinesView(self._draw_title, id="panel-title")
        self._options = LinesView(self._draw_options, id="panel-options")
        self._others = 0

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.body
        yield self._options
        yield self.feedback

    def share_rows(self, room: int, width: int) -> None:
        room -= len(self._draw_title(width - 1))
        options = min(len(self._draw_options(width - 1)), max(1, room - 1))
        self._options.styles.max_height = options
        super().share_rows(room - options, width)

    def escape(self, in_turn: bool) -> str:
        return "interrupt" if in_turn else "say no"

    def tell_more(self, others: int) -> None:
        if others != self._others:
            self._others = others
            self._title.redraw()
            self.fit()

    # --- content ------------------------------------------------------------------------------------------------------

    @property
    def choices(self) -> list[tuple[str, str]]:
        """(key, words) of what may be answered."""
        scope = self.question.session_scope.replace(f"{self.question.cwd}/", "")
        return [
            ("1", "Yes, this once"),
            *([("2", f"Yes, and for the rest of this session: {visible(scope)}")] if scope else []),
            *([("a", f"Yes, and {visible(always)}")] if (always := always_words(self.question)) else []),
            ("3", "No"),
            ("4", "No, and say what to do instead"),
        ]

    def _draw_title(self, width: int) -> Sequence[Line]:
        effects = self.question.effects
        kinds = [
            kind
            for kind in ("widen", "run", "mcp", "fetch", "write", "read", "stop")
            if any(e.kind == kind for e in effects)
        ]
        verb = VERBS[kinds[0]] if kinds else "wants to run"
        if isinstance(preview := self.question.preview, Diff) and preview.created:
            verb = "wants to create a file"
        text = Text.assemble((visible(self.question.call.name), BOLD), (f" {verb}", self.palette.text))
        if self._others > 0 and self.screen.size.height < TINY_ROWS:  # where there is no bar that says it
            text.append(f" · {self._others} more", self.palette.muted)
        if self.question.agent:
            text.append(f" for the subagent: {visible(self.question.agent)}", self.palette.muted)
        return indent(wrap(text, width - GUTTER), Segment(" ? ", self.palette.warning + BOLD))

    def draw_body(self, width: int) -> Sequence[Line]:
        inner = width - GUTTER - 1
        return indent([*self._preview(inner), *self._segments(inner), *self._targets(inner)], BLANK, BLANK)

    def _preview(self, width: int) -> list[Line]:
        palette = self.palette
        match self.question.preview:
            case Diff(path=path, unified=unified, added=added, removed=removed):
                from kimi_agent.frontends.tui.draw.diff import diff_lines

                counts = Text.assemble((f"+{added}", palette.success), (f" −{removed}", palette.error))
                name = Text(visible(relative(path, self.question.cwd)) + "  ", palette.text + BOLD)
                return [
                    *wrap(name + counts, width),
                    *diff_lines(blanks_of_diff(visible(unified)), path, width, palette, self._diffs),
                ]
            case Terminal(command=command):
                lines = indent(
                    fold(highlight(blanks_of_command(visible(command)), "bash", palette), width - 2), Segment(" ")
                )
                return fill(lines, width, palette.code_bg)
            case Plain(text=text):
                return fold(Text(visible(text), palette.text), width)
            case _:
                return fold(Text(visible(self.question.call.arguments), palette.text), width)

    def _segments(self, width: int) -> list[Line]:
        """The commands of a command line with what covers each, and why a rule wants it asked for."""
        palette = self.palette
        styles = {"allow": palette.success, "ask": palette.warning, "deny": palette.error}
        lines: list[Line] = []
        for segment in told_segments(self.question):
            mark = Text(f"{WORDS[segment.verdict]:<9} ", styles[segment.verdict])
            why = f"  {visible(segment.why)}" if segment.why else ""
            lines += wrap(mark + Text.assemble((visible(segment.text), palette.text), (why, palette.muted)), width)
        if self.question.reason:
            lines += wrap(Text(f"asked because {visible(self.question.reason)}", palette.warning), width)
        return [[], *lines] if lines else []

    def _targets(self, width: int) -> list[Line]:
        """What the effects name beyond the preview: real paths, hosts, the folder of a command."""
        question, palette, reason = self.question, self.palette, ""
        match question.preview:
            case Terminal(command=command, reason=reason):
                shown = command.strip()
            case Diff(path=path):
                shown = path
            case _:
                shown = ""
        lines: list[Line] = wrap(Text(f"because: {visible(reason)}", palette.text), width) if reason else []
        for effect in question.effects:
            if effect.target.strip() != shown:
                kind, target = effect_words(effect)
                words = Text.assemble((f"{kind} ", palette.muted), (visible(target), palette.muted))
                lines += wrap(words, width)
        if question.cwd and isinstance(question.preview, Terminal):
            elsewhere = bool(self.folder) and question.cwd != self.folder
            style = palette.warning + BOLD if elsewhere else palette.muted
            lines += wrap(Text(f"in {visible(question.cwd)}", style), width)
        return [[], *lines] if lines else []

    def _draw_options(self, width: int) -> Sequence[Line]:
        lines: list[Line] = []
        for number, (key, words) in enumerate(self.choices):
            chosen = number == self.selected
            style = self.palette.primary + BOLD if chosen else self.palette.text
            mark = Segment(" ❯ " if chosen else "   ", self.palette.primary)
            first, *rest = wrap(Text(words, style), width - GUTTER - 4)
            lines += [[mark, Segment(f"{key}  ", style), *first], *indent(rest, KEY_BLANK, KEY_BLANK)]
        return lines

    # --- keys ---------------------------------------------------------------------------------------------------------

    def press(self, event: events.Key) -> None:
        if event.key in ("up", "down"):
            self.selected = (self.selected + (1 if event.key == "down" else -1)) % len(self.choices)
            self._options.redraw()
            self.call_after_refresh(self._reveal)
            return
        key = self.choices[self.selected][0] if event.key == "enter" else (event.character or "").lower()
        if key not in [choice for choice, _ in self.choices]:
            return
        if key == "4":
            self._options.display = False
            self.open_feedback()
        else:
            self.post_message(self.Answered(ANSWERS[key]))

    def _reveal(self) -> None:
        rows = [len(wrap(Text(words), self.size.width - GUTTER - 5)) for _, words in self.choices]
        self._options.reveal(sum(rows[: self.selected]))

    def close_feedback(self) -> None:
        self._options.display = True
        super().close_feedback()

    def take_feedback(self, text: str) -> None:
        if text:
            self.post_message(self.Answered(Deny(text)))
