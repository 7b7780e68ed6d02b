"""TaskOutput: the end of a background task's output, now or when the task has ended."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.sanitize import plain
from kimi_agent.core.task import how_it_went, last_lines
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.output import Live
from kimi_agent.tools.prompts import prompt

SHOWN = 32 << 10  # bytes
_LOOK_S = 0.25  # between looks at the file, while somebody waits for the task


class TaskOutputParams(Struct, frozen=True):
    task_id: str
    block: Annotated[bool, Meta(description="Wait for its end")] = False
    timeout: Annotated[int, Meta(ge=0, le=3600, description="Seconds to wait at most")] = 30


class TaskOutput:
    name = "TaskOutput"
    description = prompt(__file__)
    Params: type[Any] = TaskOutputParams

    def effects(self, params: TaskOutputParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: TaskOutputParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: TaskOutputParams, ctx: ToolContext) -> ToolOutput:
        task = ctx.tasks.get(params.task_id)
        if params.block and task.state == "running":
            shown = asyncio.create_task(_show_new(Path(task.output), ctx.progress))
            try:
                await ctx.tasks.wait(task.id, params.timeout)
            finally:
                shown.cancel()
                await asyncio.wait([shown])
        task = await ctx.tasks.wait(task.id, 0)
        state = f"{task.id} {how_it_went(task)}"
        output = plain(task.report) or last_lines(Path(task.output), SHOWN) or "(no output so far)"
        return text_output(f"[{state}]\n{output}\n[the whole output: {task.output}]", Plain(state))


async def _show_new(path: Path, progress: Callable[[str], None]) -> None:
    """Show what is added to the file from now on, until it is cancelled."""
    live = Live(progress)
    try:
        position = path.stat().st_size if path.exists() else 0
        while True:
            await asyncio.sleep(_LOOK_S)
            with suppress(OSError), path.open("rb") as file:
                file.seek(position)
                if data := file.read(SHOWN):
                    position += len(data)
                    live.feed(data)
    finally:
        live.close()
