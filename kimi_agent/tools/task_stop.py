"""TaskStop: end a background task.

Its effect is of a kind of its own: plan mode refuses it, as it refuses all that acts, and nobody is asked for it otherwise,
because it reaches nothing but what this session has started.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.sanitize import plain
from kimi_agent.core.task import how_it_went, last_lines
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.prompts import prompt


class TaskStopParams(Struct, frozen=True):
    task_id: str
    reason: Annotated[str, Meta(description="For the user")] = ""


class TaskStop:
    name = "TaskStop"
    description = prompt(__file__)
    Params: type[Any] = TaskStopParams

    def effects(self, params: TaskStopParams, ctx: ToolContext) -> Sequence[Effect]:
        return (Effect("stop", ctx.tasks.get(params.task_id).id),)

    async def preview(self, params: TaskStopParams, ctx: ToolContext) -> Display | None:
        return Plain(f"{params.task_id}: {ctx.tasks.get(params.task_id).title}")

    async def run(self, params: TaskStopParams, ctx: ToolContext) -> ToolOutput:
        task = await ctx.tasks.stop(params.task_id)
        state = f"{task.id} {how_it_went(task)}"
        output = plain(task.report) or last_lines(Path(task.output))
        shown = f"{state}: {params.reason}" if params.reason.strip() else state
        return text_output(f"[{state}]\n{output}".rstrip(), Plain(shown), is_error=task.state == "running")
