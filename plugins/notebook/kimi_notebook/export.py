"""ExportNotebook: the cells of the session as an .ipynb."""

import asyncio
import json
from collections.abc import Iterable, Sequence
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
            lines = (ctx.scratch / RECORD).read_text("utf-8").splitlines()
        except OSError:
            raise ToolError("Notebook has run no cell in this session yet.") from None
        data = await asyncio.to_thread(notebook, lines)
        await ctx.workspace.write(path, data, await ctx.workspace.stat(path))
        said = f"Wrote {len(lines)} cell{'s' * (len(lines) != 1)} to {path}."
        return text_output(said, Plain(f"{len(lines)} cells to {Path(params.path).name}"))


def notebook(lines: Iterable[str]) -> bytes:
    """A valid notebook file of recorded cells."""
    import nbformat

    made = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [_cell(number, json.loads(line)) for number, line in enumerate(lines, 1)],
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
