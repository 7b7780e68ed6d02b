"""Excel: every cell that holds something, with its name, row by row. Values as last computed; nothing is computed here."""

import datetime
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from kimi_agent.core.errors import ToolError
from kimi_documents.package import checked
from kimi_documents.part import Part

MAX_CELLS = 200_000
"""Cells of one answer."""
MAX_ROWS = 1_048_576


def read(document: bytes, part: Part) -> str:
    """`[sheet NAME]` stands above the rows of each sheet, cells are `B4: value`."""
    from openpyxl import load_workbook

    source = checked(document, "xl/")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and extensions that do not matter here
        values = load_workbook(source, read_only=True, data_only=True, keep_links=False)
        formulas = load_workbook(source, read_only=True, data_only=False, keep_links=False)
        pieces: list[str] = []
        left = MAX_CELLS
        for sheet in _wanted(values.worksheets, part.sheet):
            lines = list(_rows(sheet, formulas[sheet.title], part, left))
            left -= sum(count for _, count in lines)
            hidden = "" if sheet.sheet_state == "visible" else " (hidden)"
            pieces.append(
                "\n".join([f"[sheet {sheet.title}]{hidden}", *([line for line, _ in lines] or ["(no values)"])])
            )
            if left <= 0:
                pieces.append(f"[only the first {MAX_CELLS:,} cells were read: ask for a sheet and cells]")
                break
    return "\n\n".join(pieces)


def _wanted(sheets: list[Any], name: str) -> list[Any]:
    if not name:
        return sheets
    found = [sheet for sheet in sheets if sheet.title.casefold() == name.casefold()]
    if not found:
        raise ToolError(f"There is no sheet {name!r}. Sheets: {', '.join(sheet.title for sheet in sheets)}.")
    return found


def _rows(values: Any, formulas: Any, part: Part, most: int) -> Iterator[tuple[str, int]]:
    """Each row that holds something as a line, with the number of its cells."""
    for line in zip(_cells(values, part), _cells(formulas, part), strict=False):
        named = [
            f"{cell.coordinate}: {shown}"
            for cell, formula in zip(*line, strict=False)
            if (shown := _shown(cell, formula))
        ]
        if named:
            yield " | ".join(named), len(named)
            most -= len(named)
            if most <= 0:
                return


def _cells(sheet: Any, part: Part) -> Iterable[tuple[Any, ...]]:
    sheet.reset_dimensions()  # what a file says of its own size is not believed
    if (wanted := part.cell_range) is None:
        return sheet.iter_rows()  # type: ignore[no-any-return]
    column, row, last_column, last_row = wanted
    return sheet.iter_rows(row, min(last_row, MAX_ROWS), column, last_column)  # type: ignore[no-any-return]


def _shown(cell: Any, formula: Any) -> str:
    """A value as text; a formula where nobody has saved what it comes to. Empty for an empty cell."""
    value = cell.value
    if value is None:
        written = getattr(formula.value, "text", formula.value)  # array formulas are objects
        return f"{written} (formula, no saved value)" if isinstance(written, str) and written.startswith("=") else ""
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        value = value.date()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return " ".join(str(value).split()) if not isinstance(value, bool) else str(value).upper()
