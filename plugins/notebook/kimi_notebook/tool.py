"""Notebook: run Python in the session's kernel."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from kimi_agent.core.display import Display, Pictures, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Image, Text
from kimi_agent.core.redact import Redactor
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.output import HeadTail, Live, spill_path
from kimi_notebook.cell import Cell
from kimi_notebook.kernel import Kernel, KernelDied, Message
from kimi_notebook.pictures import MAX_SHOWN, fit_to_send

INTERRUPT_S = 5.0
"""What a cell gets to obey an interrupt before its kernel is killed."""
CANCEL_S = 0.5
"""The same when a person waits for the interrupt."""
RECORD = "notebook.jsonl"
"""In the session's scratch folder: a line per cell."""


class NotebookParams(msgspec.Struct, frozen=True):
    code: Annotated[str, msgspec.Meta(description="Python")] = ""
    timeout: Annotated[int, msgspec.Meta(ge=1, le=3600, description="Seconds until it is interrupted")] = 60
    restart: Annotated[bool, msgspec.Meta(description="Begin with a new kernel: all variables are lost")] = False


class Notebook:
    """Holds the kernel of one session, started at its first call. `python` is the interpreter, by default this one."""

    name = "Notebook"
    description = Path(__file__).with_name("notebook.md").read_text("utf-8").strip()
    Params: type[Any] = NotebookParams

    def __init__(self, *, python: str = "", sees: bool = True) -> None:
        self._python, self._sees = python, sees
        self._kernel: Kernel | None = None
        self._gone = "the session was resumed or forked"
        self._turn = asyncio.Lock()

    def effects(self, params: NotebookParams, ctx: ToolContext) -> Sequence[Effect]:
        if not params.code.strip():
            if params.restart:
                return ()
            raise ToolError("The code is empty.")
        if any("\ud800" <= character <= "\udfff" for character in params.code):
            raise ToolError("The code contains a broken character (half of a surrogate pair).")
        return (Effect("run", f"python: {params.code}"),)

    async def preview(self, params: NotebookParams, ctx: ToolContext) -> Display | None:
        return Terminal(f"python: {params.code}")

    async def run(self, params: NotebookParams, ctx: ToolContext) -> ToolOutput:
        async with self._turn:
            if params.restart:
                await self._end("it was restarted as asked")
            if not params.code.strip():
                return text_output("The kernel is ended; the next call starts a new one.")
            return await self._run(params, ctx)

    async def aclose(self) -> None:
        await self._end("the session was closed")

    async def _run(self, params: NotebookParams, ctx: ToolContext) -> ToolOutput:
        notes: list[str] = []
        kernel = await self._running(ctx, notes)
        text, live = HeadTail(spill_path(ctx.scratch, "notebook", ctx.call_id), ctx.redactor), Live(ctx.progress)
        cell = Cell(text, live)
        try:
            reply = await self._execute(kernel, params, cell, notes)
        finally:
            live.close()
            text.close()
            notes += _record(ctx.scratch / RECORD, params.code, cell, ctx.redactor)
        failed = cell.failed or reply is None
        if reply is not None and reply["lost"]:
            notes.append("output was lost: a single piece of it was too large")
        return await self._output(params, cell, notes, failed=failed)

    async def _running(self, ctx: ToolContext, notes: list[str]) -> Kernel:
        """The kernel, a new one where there is none or it died; a note tells that the state is gone."""
        if self._kernel is not None and not self._kernel.alive:
            await self._end(f"the last one died: {self._kernel.ending()}")
        if self._kernel is None:
            ctx.scratch.mkdir(parents=True, exist_ok=True)
            self._kernel = await Kernel.start(ctx.workspace, self._python)
            if (ctx.scratch / RECORD).exists():
                notes.append(f"this ran in a new kernel, nothing of earlier calls is defined: {self._gone}")
        return self._kernel

    async def _end(self, why: str) -> None:
        kernel, self._kernel, self._gone = self._kernel, None, why
        if kernel is not None:
            await kernel.aclose()

    async def _execute(self, kernel: Kernel, params: NotebookParams, cell: Cell, notes: list[str]) -> Message | None:
        """The reply; None when the cell did not come to its end, and a note says why."""
        work = asyncio.create_task(kernel.execute(params.code, cell.take))
        try:
            await asyncio.wait({work}, timeout=params.timeout)
            if not work.done():
                notes.append(f"timed out after {params.timeout} s: interrupted")
                if not await self._interrupt(kernel, work, INTERRUPT_S):
                    notes[-1] += "; it did not obey, so its kernel was killed: all variables are lost"
                    return None
                cell.failed = True
            reply = work.result()
        except KernelDied as error:
            await self._end("the last one died")
            notes.append(f"the kernel died, all variables are lost; the next call starts a new one: {error}")
            return None
        except asyncio.CancelledError:
            await self._interrupt(kernel, work, CANCEL_S)
            raise
        cell.count = reply.get("execution_count")
        cell.page(reply.get("payload") or [])
        return reply

    async def _interrupt(self, kernel: Kernel, work: "asyncio.Task[Message]", grace: float) -> bool:
        """Whether the cell obeyed; when it did not, there is no kernel any more."""
        kernel.interrupt()
        try:
            await asyncio.wait({work}, timeout=grace)
        finally:
            obeyed = work.done()
            if not obeyed:
                work.cancel()
                await self._end("the last one did not obey an interrupt")
        return obeyed

    async def _output(self, params: NotebookParams, cell: Cell, notes: list[str], *, failed: bool) -> ToolOutput:
        name = f"cell {cell.count or '?'}"
        images = await asyncio.to_thread(fit_to_send, cell.pictures, name, notes)
        count = f"{len(images)} picture{'s' * (len(images) > 1)}"
        if len(cell.pictures) > MAX_SHOWN:
            notes.append(f"{len(cell.pictures) - MAX_SHOWN} more pictures are only in the notebook")
        if images and not self._sees:
            notes.append(f"{count}: shown to the user; you cannot see pictures")
        text = cell.text.text()
        lines = [text.rstrip("\n")] if text.strip() else [] if notes or images else ["[no output]"]
        said = "\n".join([*lines, *(f"[{note}]" for note in notes)]) or f"[{count}]"
        command = f"python: {params.code}"
        shown = Pictures(said if text.strip() or notes else "", images) if images else None
        parts: tuple[Text | Image, ...] = (Text(said), *(images if self._sees else ()))
        return ToolOutput(parts, shown or Terminal(command, said, int(failed)), is_error=failed)


def _record(file: Path, code: str, cell: Cell, redactor: Redactor) -> list[str]:
    """Add a line for ExportNotebook; answers notes."""
    line = json.dumps(redactor.value({"code": code, "count": cell.count, "outputs": cell.record})) + "\n"
    try:
        with file.open("a", encoding="utf-8") as record:
            record.write(line)
    except OSError as error:
        return [f"this cell will be missing in the exported notebook: {error.strerror}"]
    return []
