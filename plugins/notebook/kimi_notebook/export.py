"""ExportNotebook: the cells of the session as an .ipynb."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_notebook.tool import RECORD


class ExportParams(msgspec.Struct, frozen=True):
    path: Annotated[str, msgspec.Meta(description="The file, ending in .ipynb; it is replaced when it exists")]


class ExportNotebook:
    name = "ExportNotebook"
    description = "Write all cells that Notebook ran in this session, with their outputs and plots, to an .ipynb file."
    Params: type[Any] = ExportParams

    def effects(self, params: ExportParams, ctx: ToolContext) -> Sequence[Effect]:
        if not params.path.endswith(".ipynb"):
            raise ToolError("The path must end in .ipynb.")
        return (Effect("write", str(ctx.workspace.resolve(params.path))),)

    async def preview(self, params: ExportParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: ExportParams, ctx: ToolContext) -> ToolOutput:
        path = ctx.workspace.resolve(params.path)
        try:
            cells = _recorded((ctx.scratch / RECORD).read_text("utf-8"))
        except OSError:
            raise ToolError("Notebook has run no cell in this session yet.") from None
        data = await asyncio.to_thread(notebook, cells)
        await ctx.workspace.write(path, data, await ctx.workspace.stat(path))
        count = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
        return text_output(f"Wrote {count} to {path}.", Plain(f"{count} to {Path(params.path).name}"))


def _recorded(text: str) -> list[dict[str, Any]]:
    """The recorded cells. A line that a crash cut off is left out, with the one that was appended to it."""
    cells = []
    for line in text.splitlines():
        with suppress(ValueError):
            cells.append(json.loads(line))
    return cells


def notebook(cells: Iterable[dict[str, Any]]) -> bytes:
    """A valid notebook file of recorded cells."""
    import nbformat

    made = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [_cell(number, cell) for number, cell in enumerate(cells, 1)],
    }
    nbformat.validate(made)
    return (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _cell(number: int, recorded: dict[str, Any]) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "execution_count": recorded["count"],
        "metadata": {},
        "source": recorded["code"],
        "outputs": recorded["outputs"],
    }
