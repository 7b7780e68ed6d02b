"""A Markdown table: in columns while their words fit, else one entry below the other with its labels."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.text import Text

from kimi_agent.frontends.tui.draw.lines import Decor, Line, console, wrap
from kimi_agent.frontends.tui.draw.palette import Palette

if TYPE_CHECKING:
    from rich.console import JustifyMethod

GAP = 3
"""Cells between two columns."""
LEAST = 12
"""Cells of a column below which its words are not broken."""


def table_lines(
    header: Sequence[Text],
    rows: Sequence[Sequence[Text]],
    justify: "Sequence[JustifyMethod]",
    width: int,
    palette: Palette,
) -> list[Line]:
    columns = [[head, *(row[number] for row in rows)] for number, head in enumerate(header)]
    gaps = GAP * (len(columns) - 1)
    whole = sum(max(_widest_line(cell) for cell in column) for column in columns) + gaps
    least = [min(LEAST, max(_widest_word(cell) for cell in column)) for column in columns]
    if whole > width and sum(least) + gaps > width:
        return _entries(header, rows, width, palette)
    named = _is_list_of_names(columns, width)
    if named:
        least[0] = max(_widest_line(cell) for cell in columns[0])
    return _columns(header, rows, justify, width, palette, least, apart=whole > width and not named)


def _is_list_of_names(columns: Sequence[Sequence[Text]], width: int) -> bool:
    """Whether each row begins with a name on one line: where the next row begins is then seen without a blank line."""
    names = columns[0][1:]
    return len(columns) == 2 and all(name.plain.strip() and _widest_line(name) <= width // 2 for name in names)


def _widest_line(cell: Text) -> int:
    return max((line.cell_len for line in cell.split("\n")), default=0)


def _widest_word(cell: Text) -> int:
    return max((Text(word).cell_len for word in cell.plain.split()), default=0)


def _columns(
    header: Sequence[Text],
    rows: Sequence[Sequence[Text]],
    justify: "Sequence[JustifyMethod]",
    width: int,
    palette: Palette,
    least: Sequence[int],
    *,
    apart: bool,
) -> list[Line]:
    """`apart`: a blank line between rows, because some are several lines high."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, border_style=palette.faint, leading=1 if apart else 0
    )
    for head, side, narrowest in zip(header, justify, least, strict=True):
        table.add_column(head, justify=side, overflow="fold", min_width=narrowest)
    for row in rows:
        table.add_row(*row)
    screen = console()
    return screen.render_lines(table, screen.options.update(width=width, height=None), pad=False)


def _entries(header: Sequence[Text], rows: Sequence[Sequence[Text]], width: int, palette: Palette) -> list[Line]:
    label = min(max(_widest_line(head) for head in header), max(width // 3, min(LEAST, width // 2)))
    lines: list[Line] = []
    for row in rows or [[Text() for _ in header]]:
        if lines:
            lines.append([Decor("─" * min(width, 40), palette.faint)])
        for head, cell in zip(header, row, strict=True):
            names = wrap(head, label)
            body = wrap(cell, max(4, width - label - 2))
            for number in range(max(len(names), len(body))):
                name = names[number] if number < len(names) else []
                text = body[number] if number < len(body) else []
                blank = Segment(" " * (label - sum(segment.cell_length for segment in name) + 2))
                lines.append([*name, blank, *text])
    return lines
