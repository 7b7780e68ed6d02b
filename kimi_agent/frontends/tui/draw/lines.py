"""Lines of segments and the few ways they are put together. A line holds no line break and no control character."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from kimi_agent.frontends.tui.draw.palette import NO_STYLE

Line: TypeAlias = list[Segment]


class Decor(Segment):
    """What is only there for the eye: gutters, signs, line numbers, padding. It is not copied."""

    __slots__ = ()


class Gap(Segment):
    """Blanks that push two texts apart; copied as two."""

    __slots__ = ()


class Divider(Decor):
    """Between two columns, of which one is copied."""

    __slots__ = ()


class Absent(Decor):
    """The place of a line that the other column has and this one has not."""

    __slots__ = ()


class Wrapped(Segment):
    """Begins a line that goes on with the words of the line above."""

    __slots__ = ()


class Folded(Segment):
    """Begins a line that was broken off the line above at any place."""

    __slots__ = ()


_CONSOLE = Console(width=80, color_system="truecolor", force_terminal=True, legacy_windows=False)
TAB_SIZE = 4


def console() -> Console:
    """The console that measures and renders; it never writes."""
    return _CONSOLE


def segments(text: Text) -> Line:
    """One line of text as segments."""
    if not text.spans:
        return [Segment(text.plain, _CONSOLE.get_style(text.style))] if text.plain else []
    return [segment for segment in text.render(_CONSOLE, end="") if segment.text]


def wrap(text: Text, width: int) -> list[Line]:
    """Wrap at words."""
    if not text.plain:
        return [[]]
    if "\n" not in text.plain and "\t" not in text.plain and text.cell_len <= width:
        return [segments(text)]
    lines: list[Line] = []
    for paragraph in text.split("\n", allow_blank=True) if "\n" in text.plain else [text]:
        plain, at = paragraph.plain, 0
        for number, piece in enumerate(paragraph.wrap(_CONSOLE, max(1, width), overflow="fold", tab_size=TAB_SIZE)):
            line = segments(piece)
            begins = plain.find(piece.plain, at)
            if number:
                apart = begins < 0 or plain[begins - 1].isspace()
                line = _continued(line, Wrapped if apart else Folded)
            at = max(at, begins + len(piece.plain))
            lines.append(line)
    return lines


def _continued(line: Line, kind: type[Segment]) -> Line:
    return [kind(*line[0]), *line[1:]] if line else line


def fold(text: Text, width: int) -> list[Line]:
    """Break each line at the width, blanks kept: for code and output."""
    lines: list[Line] = []
    for line in text.split("\n", allow_blank=True):
        if "\t" in line.plain:
            line.expand_tabs(TAB_SIZE)
        if cell_len(line.plain) <= width:
            lines.append(segments(line))
            continue
        offsets, end = [], 0
        for piece in chop_cells(line.plain, max(2, width))[:-1]:
            end += len(piece)
            offsets.append(end)
        first, *rest = [segments(piece) for piece in line.divide(offsets)]
        lines += [first, *(_continued(piece, Folded) for piece in rest)]
    return lines


def line_width(line: Line) -> int:
    return sum(cell_len(segment.text) for segment in line)


def indent(lines: Iterable[Line], first: Segment, rest: Segment | None = None) -> list[Line]:
    """Put `first` before the first line and `rest` (default: blanks as wide) before the others."""
    rest = rest or type(first)(" " * cell_len(first.text))
    return [[first if number == 0 else rest, *line] for number, line in enumerate(lines)]


def fill(lines: Iterable[Line], width: int, ground: Style) -> list[Line]:
    """Pad each line to the width and lay `ground` under it."""
    return [_filled(line, width, ground) for line in lines]


def _filled(line: Line, width: int, ground: Style) -> Line:
    padding = width - line_width(line)
    padded = [*line, Decor(" " * padding)] if padding > 0 else line
    return [type(each)(each.text, ground + (each.style or NO_STYLE)) for each in padded]


def clip(text: str, width: int) -> str:
    """`text` cut to the width in cells, with an ellipsis where something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…" if width > 0 else ""


def clip_start(text: str, width: int) -> str:
    """As `clip`, but the end is kept: for paths."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width) // 2) :]
    return "…" + text


def spread(left: Text, right: Text, width: int) -> Line:
    """`left` at the left edge, `right` at the right edge. What does not fit is cut from `left`; a long `right` goes first."""
    if left.cell_len + right.cell_len + 2 > width and right.cell_len > width // 2:
        right = Text()
    room = width - (right.cell_len + 2 if right.plain else 0)
    if left.cell_len > room:
        left = left.copy()
        left.truncate(max(0, room), overflow="ellipsis")
    gap = width - left.cell_len - right.cell_len
    return [*segments(left), Gap(" " * max(0, gap)), *segments(right)] if right.plain else segments(left)


def text_of(lines: Sequence[Line]) -> str:
    """What the lines say, without style: for tests and copying."""
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)
