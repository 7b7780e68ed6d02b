"""A text with a register and an undo of its own: what vim's commands change."""

from dataclasses import dataclass, field

from kimi_agent.frontends.tui.vim.objects import Span
from kimi_agent.frontends.tui.vim.text import Place, VimText

UNDO_LIMIT = 200


@dataclass(slots=True)
class Register:
    text: str = ""
    lines: bool = False


@dataclass(frozen=True, slots=True)
class State:
    lines: tuple[str, ...]
    place: Place


@dataclass(slots=True)
class Repeat:
    """The last change, for the dot: its keys without counts, and what was typed in insert mode after it."""

    keys: tuple[str, ...] = ()
    count: int = 0
    typed: str | None = None


@dataclass(slots=True)
class Insertion:
    """Where an insertion began: the text around the cursor then, and how often it is to stand there."""

    lines: tuple[str, ...]
    before: str
    after: str
    count: int = 1
    opened: bool = False


@dataclass
class Editor:
    """`text` is changed in place."""

    text: VimText = field(default_factory=VimText)
    register: Register = field(default_factory=Register)

    def __post_init__(self) -> None:
        self._undo: list[State] = []
        self._redo: list[State] = []

    # --- the text -----------------------------------------------------------------------------------------------------

    def _between(self, span: Span) -> str:
        (row, column), (last_row, last_column) = span
        lines = self.text.lines
        if row == last_row:
            return lines[row][column:last_column]
        return "\n".join([lines[row][column:], *lines[row + 1 : last_row], lines[last_row][:last_column]])

    def _cut(self, span: Span) -> None:
        (row, column), (last_row, last_column) = span
        lines = self.text.lines
        lines[row : last_row + 1] = [lines[row][:column] + lines[last_row][last_column:]]

    def _put(self, new: str, place: Place) -> None:
        """Insert, and leave the cursor behind it."""
        row, column = place
        line = self.text.lines[row]
        pieces = (line[:column] + new + "\n").split("\n")[:-1]
        self.text.place = row + len(pieces) - 1, len(pieces[-1])
        pieces[-1] += line[column:]
        self.text.lines[row : row + 1] = pieces

    # --- undo ---------------------------------------------------------------------------------------------------------

    def _remember(self, state: State | None = None) -> None:
        self._undo = [*self._undo, state or State(tuple(self.text.lines), self.text.place)][-UNDO_LIMIT:]
        self._redo.clear()

    def _travel(self, source: list[State], target: list[State], count: int) -> bool:
        if not source:
            return False
        for _ in range(min(count, len(source))):
            state = source.pop()
            target.append(State(tuple(self.text.lines), state.place))
            row = next(
                (n for n, (a, b) in enumerate(zip(state.lines, self.text.lines, strict=False)) if a != b),
                min(len(state.lines), len(self.text.lines)),
            )
            self.text.lines = list(state.lines)
            row = min(row, self.text.last_row)
            self.text.place = state.place if state.place[0] == row else (row, 0)
            self.text.clamp()
        return True
