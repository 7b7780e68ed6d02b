"""The two lines that say what is going on: activity above the prompt, status below it."""

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from kimi_agent.agent.status import Status
from kimi_agent.core.access import NO_BOX
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import one_line
from kimi_agent.frontends.common.look import STATUS_ITEMS
from kimi_agent.frontends.common.status import home_relative, numbers, thinking_word
from kimi_agent.frontends.tui.draw.hints import Hint, key_hints
from kimi_agent.frontends.tui.draw.lines import Line, clip, clip_start, segments, spread
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE, Palette
from kimi_agent.frontends.tui.widgets.panel import LinesView

BOLD = Style(bold=True)
WAITING_ROWS = 3
KEYS = (("↑", "take the last one back"), ("/queue", "edit"))
NO_MODEL = "no model: /login"
MODES = {"plan": "plan", "yolo": "yolo", "afk": "afk"}


class Bar(Widget):
    """One line; drawn again only when its text has changed."""

    ALLOW_SELECT = False

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self.palette: Palette = PLAIN_PALETTE
        self._left, self._right = Text(), Text()
        self._line: Line = []

    def say(self, left: Text, right: Text | None = None) -> None:
        self._left, self._right = left, right or Text()
        if self._arrange() != self._line:
            self.refresh()

    def _arrange(self) -> Line:
        return spread(self._left, self._right, max(0, self.size.width - 1))

    def render_line(self, y: int) -> Strip:
        if y:
            return Strip.blank(self.size.width, self.rich_style)
        self._line = self._arrange()
        return Strip(self._line).crop_extend(0, self.size.width, None).apply_style(self.rich_style)


class ActivityBar(Bar):
    """What is going on on the left, on the right the keys that matter now. `below`: something new is out of view."""

    below = False
    _keys: Sequence[Hint] = ()

    def tell(self, words: str, keys: Sequence[Hint] = (), *, worrying: bool = False) -> None:
        """Say `words`; the keys have the room that is left. What worries is coloured."""
        palette, self._keys = self.palette, keys
        left = Text(f" ● {words}", palette.warning if worrying else palette.muted) if words else Text()
        self.say(left, Text("↓ new below: Ctrl-End", palette.accent) if self.below else Text())

    def _arrange(self) -> Line:
        width, right = max(0, self.size.width - 1), self._right.copy()
        apart = " · " if right else ""
        room = width - self._left.cell_len - 2 - right.cell_len - len(apart)
        if told := key_hints(self._keys, self.palette, room):
            right.append(apart, self.palette.faint).append_text(told)
        return spread(self._left, right, width)

    def hint(self, words: str) -> None:
        """A short word that is about no work."""
        self._keys = ()
        self.say(Text(f"   {words}", self.palette.accent))


class WaitingTexts(LinesView):
    """The texts that wait while a turn runs. Takes no room when there are none."""

    def __init__(self) -> None:
        super().__init__(self._draw_texts, id="waiting")
        self.palette: Palette = PLAIN_PALETTE
        self._texts: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self.add_class("-empty")

    def update(self, steering: tuple[str, ...], queue: tuple[str, ...]) -> None:
        if (steering, queue) != self._texts:
            self._texts = (steering, queue)
            self.set_class(not (steering or queue), "-empty")
            self.redraw()

    def _draw_texts(self, width: int) -> list[Line]:
        steering, queue = self._texts
        rows = [("next step", text) for text in steering] + [("queued", text) for text in queue]
        shown = rows if len(rows) <= WAITING_ROWS else rows[: WAITING_ROWS - 1]
        palette = self.palette
        lines: list[Line] = []
        for kind, text in shown:
            room = max(4, width - len(kind) - 6)
            lines.append(
                [Segment(f"   {kind}  ", palette.accent), Segment(clip(one_line(text, 1000), room), palette.muted)]
            )
        if hidden := len(rows) - len(shown):
            lines.append([Segment(f"   … {hidden} more", palette.muted)])
        return [*lines, [Segment("   "), *segments(key_hints(KEYS, palette, width - 3))]]


BOX_WIDTH = 60
"""Columns from which on the status line says which box holds; that none does it says everywhere."""


class StatusBar(Bar):
    """Where one is on the left, how far it has come on the right: `items`, the most important first.

    What does not fit is left out.
    """

    items: tuple[str, ...] = STATUS_ITEMS
    _shown: tuple[Status, Path, str, str | None, bool, str] | None = None

    def update(
        self, status: Status, *, cwd: Path, branch: str, thinking: str | None, shell: bool, box: str = ""
    ) -> None:
        """`shell`: shell mode is on, which is outside of the `box`."""
        self._shown = (status, cwd, branch, thinking, shell, box)
        if self.size.width:  # before the first layout there is no room to fit anything into
            self._compose_line(*self._shown)

    def on_resize(self) -> None:
        if self._shown:
            self._compose_line(*self._shown)

    def _compose_line(
        self, status: Status, cwd: Path, branch: str, thinking: str | None, shell: bool, box: str
    ) -> None:
        palette, width = self.palette, max(20, self.size.width - 2)
        right = numbers(status, self.items)[::-1]
        while right and sum(len(part) + 3 for part in right) > width * 2 // 3:
            right.pop(0)
        figures = Text(" · ", palette.muted).join(
            Text(
                part,
                palette.warning if part.startswith("mcp ") and status.mcp and status.mcp.worries else palette.muted,
            )
            for part in right
        )
        left = Text(" ")
        if shell:
            left.append("shell ", palette.warning + BOLD)
            left.append("· no box " if box else "", palette.muted)
        elif "mode" in self.items and status.mode in MODES:
            left.append(f"{MODES[status.mode]} ", (palette.accent if status.mode == "plan" else palette.warning) + BOLD)
        if box and not shell and "box" in self.items and (width >= BOX_WIDTH or box == NO_BOX):
            left.append(f"{box} ", palette.error + BOLD if box == NO_BOX else palette.muted)
            left.append("· ", palette.muted)
        room = width - left.cell_len - figures.cell_len - 3
        name = "" if shell else clip(self._model(status, thinking), max(8, room // 2))
        if name:
            left.append(name, palette.text if status.model else palette.warning)
        place = branch if "branch" in self.items else ""
        left.append_text(self._place(cwd, place, room - cell_len(name) - 3, joined=bool(name)))
        self.say(left, figures)

    def _model(self, status: Status, thinking: str | None) -> str:
        words = {
            "model": plain(status.model) or NO_MODEL,
            "thinking": thinking_word(thinking),
            "title": one_line(status.title, 40),
        }
        return " · ".join(words[item] for item in self.items if words.get(item))

    def _place(self, cwd: Path, branch: str, room: int, *, joined: bool) -> Text:
        folder = home_relative(cwd) if "folder" in self.items else ""
        branch = clip(plain(branch), 24)
        text = Text()
        if room < 8:
            return text
        if branch and (room > cell_len(branch) + 14 or not folder):
            room -= cell_len(branch) + 1
        else:
            branch = ""
        if folder:
            text.append((" · " if joined else "") + clip_start(plain(folder), room), self.palette.muted)
        if branch:
            text.append(f"{' ' if folder or joined else ''}{branch}", self.palette.success)
        return text
