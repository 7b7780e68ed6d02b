"""The two lines that say what is going on: activity above the prompt, status below it."""

from pathlib import Path

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget

from kimi_agent.agent.transcript import Status
from kimi_agent.core.sanitize import plain
from kimi_agent.frontends.common.describe import at_work, counted, one_line, thousands
from kimi_agent.frontends.tui.draw.lines import Line, clip, clip_start, spread
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE, Palette
from kimi_agent.frontends.tui.widgets.panel import LinesView

BOLD = Style(bold=True)
WAITING_ROWS = 3
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

    def tell(self, words: str, keys: str = "", *, worrying: bool = False) -> None:
        """Say `words`; what worries is coloured and has the whole line."""
        style = self.palette.warning if worrying else self.palette.muted
        left = Text(f" ● {words}", style) if words else Text()
        right = Text("↓ new below: Ctrl-End", self.palette.accent) if self.below else Text()
        if keys and not worrying:
            right.append((" · " if self.below else "") + keys, self.palette.faint)
        self.say(left, right)

    def hint(self, words: str) -> None:
        """A short word that is about no work."""
        self.say(Text(f"   {words}", self.palette.warning))


class WaitingTexts(LinesView):
    """The texts that wait while a turn runs. Takes no room when there are none."""

    def __init__(self) -> None:
        super().__init__(self._draw_texts, id="waiting")
        self.palette: Palette = PLAIN_PALETTE
        self._texts: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self.display = False

    def update(self, steering: tuple[str, ...], queue: tuple[str, ...]) -> None:
        if (steering, queue) != self._texts:
            self._texts = (steering, queue)
            self.display = bool(steering or queue)
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
        return [*lines, [Segment(clip("   ↑ takes the last one back", width), palette.faint)]]


class StatusBar(Bar):
    """Mode, model, folder and branch on the left; context, tokens and cost on the right. What does not fit is left out."""

    _shown: tuple[Status, Path, str, bool] | None = None

    def update(self, status: Status, *, cwd: Path, branch: str, shell: bool) -> None:
        self._shown = (status, cwd, branch, shell)
        if self.size.width:  # before the first layout there is no room to fit anything into
            self._compose_line(*self._shown)

    def on_resize(self) -> None:
        if self._shown:
            self._compose_line(*self._shown)

    def _compose_line(self, status: Status, cwd: Path, branch: str, shell: bool) -> None:
        palette, width = self.palette, max(20, self.size.width - 2)
        right = self._numbers(status)
        while right and sum(len(part) + 3 for part in right) > width * 2 // 3:
            right.pop(0)
        numbers = " · ".join(right)
        left = Text(" ")
        if shell:
            left.append("shell ", palette.warning + BOLD)
        elif status.mode in MODES:
            left.append(f"{MODES[status.mode]} ", (palette.accent if status.mode == "plan" else palette.warning) + BOLD)
        room = width - left.cell_len - len(numbers) - 3
        model = "" if shell else clip(plain(status.model) or "no model", max(8, room // 2))
        if model:
            left.append(model, palette.text)
        left.append_text(self._place(cwd, branch, room - cell_len(model) - 3, joined=bool(model)))
        self.say(left, Text(numbers, palette.muted))

    def _place(self, cwd: Path, branch: str, room: int, *, joined: bool) -> Text:
        home = str(Path.home())
        folder = str(cwd)
        folder = "~" + folder.removeprefix(home) if folder == home or folder.startswith(home + "/") else folder
        branch = clip(plain(branch), 24)
        text = Text()
        if room < 8:
            return text
        if branch and room > len(branch) + 14:
            room -= len(branch) + 1
        else:
            branch = ""
        text.append((" · " if joined else "") + clip_start(plain(folder), room), self.palette.muted)
        if branch:
            text.append(f" {branch}", self.palette.success)
        return text

    def _numbers(self, status: Status) -> list[str]:
        """The numbers, the least important first."""
        parts = []
        if status.input:
            cached = f", {status.cached / status.input:.0%} cached" if status.cached else ""
            parts.append(f"{thousands(status.input)} in{cached}, {thousands(status.output)} out")
        if status.cost is not None:
            parts.append(f"{status.cost:.4f}" if status.cost < 0.01 else f"{status.cost:.2f}")
        if status.context_size:
            parts.append(f"{status.context / status.context_size:.0%} of {thousands(status.context_size)}")
        elif status.context:
            parts.append(f"{thousands(status.context)} context")
        if status.tasks:
            parts.append(counted(status.tasks))
        if goal := at_work(status.goal):
            parts.append(goal)
        return parts
