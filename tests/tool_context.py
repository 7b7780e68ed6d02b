"""A context for tools under test: a real workspace, a scratch folder, a person with prepared answers."""

from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, Literal

from kimi_agent.core.ask import Answer, Dismissed, Question
from kimi_agent.core.display import Todo
from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import Text
from kimi_agent.core.schema import validate
from kimi_agent.core.task import Task, TaskEnd
from kimi_agent.core.tool import Tool, ToolContext, ToolOutput
from kimi_agent.core.workspace import Workspace
from kimi_agent.workspaces.local import LocalWorkspace


class Person:
    """Answers questions in the order given, then dismisses; `questions` are those that were asked."""

    def __init__(self, answers: Sequence[Answer] = ()) -> None:
        self.answers = list(answers)
        self.questions: list[Question] = []

    async def __call__(self, question: Question) -> Answer:
        self.questions.append(question)
        return self.answers.pop(0) if self.answers else Dismissed()


class NoTasks:
    """Tasks for tools that start none. `get` knows one task, that has ended, so that what acts on tasks can be looked at."""

    def start(
        self,
        kind: Literal["command", "agent"],
        title: str,
        work: Awaitable[TaskEnd],
        *,
        call_id: str,
        output: Path,
        limit: float | None = None,
    ) -> Task:
        raise AssertionError("no background task is expected here")

    def list(self) -> Sequence[Task]:
        return []

    def get(self, task_id: str) -> Task:
        if task_id != "b1":
            raise ToolError("There is no background task.")
        return Task("b1", "command", "true", "call-1", "/nonexistent", 0.0, state="done")

    async def wait(self, task_id: str, timeout: float) -> Task:
        return self.get(task_id)

    async def stop(self, task_id: str) -> Task:
        return self.get(task_id)


def make_context(
    root: Path,
    *,
    call_id: str = "call-1",
    workspace: Workspace | None = None,
    ask: Person | None = None,
    todos: tuple[Todo, ...] = (),
    scratch: Path | None = None,
) -> ToolContext:
    scratch = scratch or root.parent / f"{root.name}-scratch"
    scratch.mkdir(exist_ok=True)
    workspace = workspace or LocalWorkspace(root)
    return ToolContext(call_id, workspace, ask or Person(), lambda text: None, todos, scratch, NoTasks())


async def call(tool: Tool, ctx: ToolContext, **arguments: Any) -> ToolOutput:
    """What the loop does with an approved call that needed no question."""
    params = validate(tool.Params, arguments)
    tool.effects(params, ctx)
    return await tool.run(params, ctx)


def text_of(output: ToolOutput) -> str:
    return "".join(part.text for part in output.for_model if isinstance(part, Text))
