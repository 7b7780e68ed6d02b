"""SetTodoList: the plan of the session, visible to the person and kept through compaction."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from kimi_agent.core.display import Display, Todo, TodoList
from kimi_agent.core.effect import Effect
from kimi_agent.core.tool import ToolContext, ToolOutput, text_output
from kimi_agent.tools.prompts import prompt


class TodoItem(Struct, frozen=True):
    title: str
    status: Literal["pending", "in_progress", "done"] = "pending"


class SetTodoListParams(Struct, frozen=True):
    todos: list[TodoItem] | None = None


class SetTodoList:
    """The new list goes out as the call's display; the session keeps it and hands it back in the next context."""

    name = "SetTodoList"
    description = prompt(__file__)
    Params: type[Any] = SetTodoListParams

    def effects(self, params: SetTodoListParams, ctx: ToolContext) -> Sequence[Effect]:
        return ()

    async def preview(self, params: SetTodoListParams, ctx: ToolContext) -> Display | None:
        return None

    async def run(self, params: SetTodoListParams, ctx: ToolContext) -> ToolOutput:
        if params.todos is None:
            lines = [f"- [{todo.status}] {todo.title}" for todo in ctx.todos]
            return text_output("\n".join(lines) or "The todo list is empty.", TodoList(ctx.todos))
        todos = tuple(Todo(item.title, item.status) for item in params.todos)
        done = sum(todo.status == "done" for todo in todos)
        text = f"Todo list updated: {done} of {len(todos)} done." if todos else "Todo list cleared."
        return text_output(text, TodoList(todos))
