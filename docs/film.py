"""A film of a terminal as one SVG file: no scripts, nothing from elsewhere, so it plays as a picture on any page."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

CELL, LINE, FONT = 8.43, 20.0, 14
"""Width and height of a cell, size of the letters, in pixels."""
EDGE, BAR = 14, 34
BACK, FORE, FRAME = "#15171c", "#d5d9e0", "#2b2f38"
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
NAMED = {
    "black": "#2a2d34", "red": "#e06c75", "green": "#8fc379", "brown": "#d9b46a", "blue": "#7aa2e3",
    "magenta": "#c38ad6", "cyan": "#6bb9c4", "white": "#d8dadf", "brightblack": "#7d828c", "brightred": "#f08a92",
    "brightgreen": "#a9d899", "brightbrown": "#ecca86", "brightblue": "#9abdf0",
    "brightmagenta": "#d5a5e4", "brightcyan": "#8ed0d9", "brightwhite": "#ffffff",
}  # fmt: skip


class Style(NamedTuple):
    fore: str
    back: str
    bold: bool
    italic: bool
    underlined: bool


Run = tuple[int, int, str, Style]
"""Column, columns, text and style of neighbours of one style."""
Row = tuple[Run, ...]
Frame = tuple[Row, ...]


@dataclass(slots=True)
class Shot:
    frame: Frame
    seconds: float


class Film:
    """Frames of `columns` x `lines` cells. Equal frames in a row are one."""

    def __init__(self, columns: int, lines: int) -> None:
        self._columns, self._lines = columns, lines
        self.shots: list[Shot] = []

    @property
    def seconds(self) -> float:
        return sum(shot.seconds for shot in self.shots)

    def take(self, screen: Any, seconds: float) -> None:
        """What is on the pyte screen now, for so long."""
        frame = tuple(tuple(_runs(screen.buffer[line], self._columns)) for line in range(self._lines))
        if self.shots and self.shots[-1].frame == frame:
            return
        self.shots.append(Shot(frame, seconds))

    def stay(self, seconds: float) -> None:
        """The last frame stays for so much longer."""
        if self.shots:
            self.shots[-1].seconds += seconds

    def svg(self) -> str:
        """All frames side by side, moved past the window one by one; each row that is seen more than once is kept once."""
        width, height = self._columns * CELL + 2 * EDGE, self._lines * LINE + BAR + EDGE
        names: dict[Row, str] = {}
        film = []
        for number, shot in enumerate(self.shots):
            uses = [
                f'<use href="#{names.setdefault(row, f"r{len(names)}")}" y="{line * LINE:g}"/>'
                for line, row in enumerate(shot.frame)
                if row
            ]
            film.append(f'<g transform="translate({number * width:g})">{"".join(uses)}</g>')
        rows = [f'<g id="{name}">{_drawn(row)}</g>' for row, name in names.items()]
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
                "<title>kimi finds and fixes a bug in a terminal</title>",
                f"<style>{self._style(width)}</style>",
                f"<defs>{''.join(rows)}</defs>",
                f'<rect width="{width:g}" height="{height:g}" rx="8" fill="{BACK}"/>',
                *(f'<circle cx="{18 + 18 * i}" cy="17" r="5.500" fill="{FRAME}"/>' for i in range(3)),
                f'<svg x="{EDGE}" y="{BAR}" width="{self._columns * CELL:g}" height="{self._lines * LINE:g}">',
                f'<g class="film" fill="{FORE}">{"".join(film)}</g>',
                "</svg>",
                "</svg>",
                "",
            ]
        )

    def _style(self, width: float) -> str:
        passed, moments = 0.0, []
        for number, shot in enumerate(self.shots):
            moments.append(f"{100 * passed / self.seconds:.3f}%{{transform:translateX({-number * width:g}px)}}")
            passed += shot.seconds
        last = f"transform:translateX({-(len(self.shots) - 1) * width:g}px)"
        return (
            f"text{{font:{FONT}px {FONTS};white-space:pre}}.b{{font-weight:700}}.i{{font-style:italic}}"
            "rect{shape-rendering:crispEdges}.u{text-decoration:underline}"
            f".film{{animation:film {self.seconds:.2f}s steps(1,end) infinite}}"
            f"@keyframes film{{{''.join(moments)}100%{{{last}}}}}"
            f"@media(prefers-reduced-motion:reduce){{.film{{animation:none;{last}}}}}"
        )


def _runs(line: Any, columns: int) -> Iterator[Run]:
    """The runs of a line of pyte, blanks without a background left out; wide and narrow characters are never in one.

    The cell after a wide character is empty.
    """
    cells = [line[x] for x in range(columns)]
    empty = [not cell.data for cell in cells] + [False]
    wide = [empty[x] or empty[x + 1] for x in range(columns)]
    for (style, _), group in groupby(range(columns), key=lambda x: (_style_of(cells[x]), wide[x])):
        run = list(group)
        text = "".join(cells[x].data for x in run)
        if style.back != BACK or text.strip():
            yield run[0], len(run), text, style


def _style_of(cell: Any) -> Style:
    fore, back = _colour(cell.fg, FORE), _colour(cell.bg, BACK)
    if cell.reverse:
        fore, back = back, fore
    return Style(fore, back, cell.bold, cell.italics, cell.underscore)


def _colour(name: str, usual: str) -> str:
    return usual if name == "default" else NAMED.get(name, f"#{name}")


def _drawn(row: Row) -> str:
    backs = [
        f'<rect x="{x * CELL:.4g}" width="{cells * CELL:.4g}" height="{LINE:g}" fill="{style.back}"/>'
        for x, cells, _, style in row
        if style.back != BACK
    ]
    return "".join([*backs, *(_text(*run) for run in row if run[2].strip())])


def _text(x: int, cells: int, text: str, style: Style) -> str:
    """A run as text of exactly its width, without the blanks around it, which some viewers swallow."""
    start = len(text) - len(text.lstrip())
    x, cells = x + start, cells - start - (len(text) - len(text.rstrip()))
    kinds = " ".join(kind for kind, on in zip("biu", style[2:], strict=True) if on)
    attributes = [
        f'x="{x * CELL:.5g}" y="{LINE * 0.72:g}" textLength="{cells * CELL:.5g}"',
        f'class="{kinds}"' if kinds else "",
        f'fill="{style.fore}"' if style.fore != FORE else "",
    ]
    return f"<text {' '.join(filter(None, attributes))}>{html.escape(text.strip(), quote=False)}</text>"
