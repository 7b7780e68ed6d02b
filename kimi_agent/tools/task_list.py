"""TaskList: the background tasks of the session."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from kimi_agent.core.display import Display, Plain
from kimi_agent.core.effect import Effect
from kimi_agent.core.task import Task, how_it_went
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.prompts import prompt


class TaskListParams(Struct, frozen=True):
    active_only: Annotated[bool, Meta(description="Only those that run")] = True
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class TaskList:
    name = "TaskList"
    description = prompt(__file__)
    Params: type[Any] = TaskListParams

    def effects(self, params: TaskListParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: TaskListParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: TaskListParams, ctx: ToolContext) -> ToolOutput:
        found = [task for task in ctx.tasks.list() if task.state == "running" or not params.active_only]
        lines = [_line(task) for task in found[: params.limit]]
        if more := len(found) - len(lines):
            lines.append(f"[{more} more]")
        counted = f"{len(found)} task{'s' * (len(found) != 1)}"
        return text_output("\n".join(lines) or "[no background tasks]", Plain(counted))


def _line(task: Task) -> str:
    limit = f" (limit {task.limit:.0f} s)" if task.limit and task.state == "running" else ""
    return f"{task.id}  {task.kind}  {how_it_went(task)}{limit}  {task.title[:300]}  output: {task.output}"
