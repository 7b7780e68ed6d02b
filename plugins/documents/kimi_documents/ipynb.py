"""Jupyter notebooks: each cell, and what it printed when it last ran."""

import json
from typing import Any

from kimi_agent.core.errors import ToolError
from kimi_agent.core.sanitize import plain
from kimi_documents.part import Part, chosen

MAX_OUTPUT = 4000
"""Characters of one output."""


def read(document: bytes, part: Part) -> str:
    """`[cell N]` stands above each cell, from 1 on; `part.pages` are numbers of cells."""
    try:
        book = json.loads(document)
        cells = book["cells"]
        pieces = [_cell(number, cells[number - 1]) for number in chosen(len(cells), part.page_range, "cell")]
    except (ValueError, RecursionError) as error:
        raise ToolError(f"The notebook is not valid JSON: {error}.") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ToolError(
            f"It is no notebook of format 4 ({type(error).__name__}: {error}). One of an older format is converted with "
            "Shell: jupyter nbconvert --to notebook --nbformat 4."
        ) from None
    return "\n\n".join(pieces) or "(the notebook has no cells)"


def _cell(number: int, cell: dict[str, Any]) -> str:
    lines = [f"[cell {number}] {cell['cell_type']}", _joined(cell["source"])]
    for output in cell.get("outputs", ()):
        if text := _output(output).rstrip():
            more = f" … [{len(text) - MAX_OUTPUT:,} more characters]" if len(text) > MAX_OUTPUT else ""
            lines += ["[output]", text[:MAX_OUTPUT] + more]
    return "\n".join(lines)


def _output(output: dict[str, Any]) -> str:
    match output["output_type"]:
        case "stream":
            return plain(_joined(output["text"]))
        case "error":
            return plain("\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}")
    data = output.get("data", {})
    pictures = " ".join(f"[{kind}]" for kind in data if kind.startswith("image/"))
    return "\n".join(filter(None, [plain(_joined(data.get("text/plain", ""))), pictures]))


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)
