"""The list of completions above the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from kimi_agent.agent.session import Session
from kimi_agent.commands import available
from kimi_agent.frontends.tui.draw.lines import clip, clip_start
from kimi_agent.frontends.tui.draw.palette import PLAIN_PALETTE, Palette

ROWS = 8


@dataclass(frozen=True, slots=True)
class Completion:
    """`insert` replaces what was typed; `label` and `help` are shown. Of a long label the end is seen, or else the beginning."""

    insert: str
    label: str
    help: str = ""
    from_start: bool = False


@dataclass(frozen=True, slots=True)
class CommandWord(Completion):
    """A completion that the shell knows, for this word before the cursor."""

    word: str = ""


@dataclass(frozen=True, slots=True)
class ArgumentWord(CommandWord):
    """What a slash command takes for the word before the cursor."""


def completions(session: Session) -> list[Completion]:
    """The slash commands of a session."""
    return [
        Completion(f"/{name}", f"/{name} {c.usage}".strip(), c.help)
        for c in available(session)
        for name in (c.name, *(alias for alias in c.aliases if alias.startswith("skill:")))
    ]


class Popup(Widget):
    """Shown while it has items. The selected item is drawn in reverse, so that it is seen without colours too."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self.palette: Palette = PLAIN_PALETTE
        self.items: Sequence[Completion] = ()
        self.selected = 0
        self.display = False

    @property
    def is_open(self) -> bool:
        return bool(self.items)

    @property
    def current(self) -> Completion | None:
        return self.items[self.selected] if self.items else None

    def show(self, items: Sequence[Completion]) -> None:
        if list(items) != list(self.items):
            self.items, self.selected = items, 0
            self.display = bool(items)
            self.refresh(layout=True)

    def close(self) -> None:
        self.show(())

    def move(self, step: int) -> None:
        if self.items:
            self.selected = (self.selected + step) % len(self.items)
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return min(ROWS, len(self.items))

    def render_line(self, y: int) -> Strip:
        rows = max(1, self.size.height)
        first = max(0, min(self.selected - rows // 2, len(self.items) - rows))
        number = first + y
        if number >= len(self.items):
            return Strip.blank(self.size.width, self.rich_style)
        return self._item(self.items[number], number == self.selected)

    def _item(self, item: Completion, selected: bool) -> Strip:
        width = self.size.width
        column = (
            min(max(cell_len(i.label) for i in self.items) + 2, width // 2)
            if any(i.help for i in self.items)
            else width
        )
        shorten = clip if item.from_start else clip_start
        label = shorten(item.label, column - 1 if item.help else width - 5)
        if not item.insert:  # words about the list itself
            selected, style = False, self.palette.muted
        else:
            style = self.palette.primary + Style(bold=True) if selected else self.palette.text
        mark = Segment(" ❯ " if selected else "   ", self.palette.primary)
        segments = [mark, Segment(label, style)]
        if item.help:
            segments.append(Segment(" " * max(1, column - cell_len(label)), None))
            segments.append(Segment(clip(item.help, max(0, width - column - 4)), self.palette.muted))
        return Strip(segments).crop_extend(0, width, None).apply_style(self.rich_style)
