from pathlib import Path

import pytest
from tool_context import Person, call, make_context, text_of

from kimi_agent.core.ask import Choice, Chosen, Dismissed, Item, Option
from kimi_agent.core.display import Plain, Todo, TodoList
from kimi_agent.core.errors import ToolError
from kimi_agent.tools.ask_user import AskUserQuestion
from kimi_agent.tools.think import Think
from kimi_agent.tools.todo import SetTodoList


async def test_think_changes_nothing(tmp_path: Path) -> None:
    output = await call(Think(), make_context(tmp_path), thought="hm")
    assert output.for_user == Plain("hm")
    assert not list(tmp_path.iterdir())


async def test_todos_are_set_asked_for_and_cleared(tmp_path: Path) -> None:
    items = [{"title": "a", "status": "done"}, {"title": "b"}]
    output = await call(SetTodoList(), make_context(tmp_path), todos=items)
    todos = (Todo("a", "done"), Todo("b"))
    assert output.for_user == TodoList(todos)
    assert text_of(output) == "Todo list updated: 1 of 2 done."
    ctx = make_context(tmp_path, todos=todos)
    for arguments in ({}, {"todos": None}):
        output = await call(SetTodoList(), ctx, **arguments)
        assert text_of(output) == "- [done] a\n- [pending] b"
        assert output.for_user == TodoList(todos)
    output = await call(SetTodoList(), ctx, todos=[])
    assert output.for_user == TodoList(())
    with pytest.raises(ToolError, match="invalid enum value 'completed' at `todos"):
        await call(SetTodoList(), ctx, todos=[{"title": "a", "status": "completed"}])


QUESTION = {
    "question": "Which one?",
    "header": "A very long header",
    "options": [{"label": "x", "description": "first"}, {"label": "y"}],
    "multi_select": True,
}


async def test_a_question_reaches_the_person_and_the_answer_the_model(tmp_path: Path) -> None:
    person = Person([Chosen((("x", "mine"),))])
    output = await call(AskUserQuestion(), make_context(tmp_path, ask=person), questions=[QUESTION])
    options = (Option("x", "first"), Option("y"))
    assert person.questions == [Choice((Item("Which one?", options, "A very long ", True),))]
    assert text_of(output) == "Which one?\n-> x, mine"
    assert not output.is_error


async def test_nobody_answers(tmp_path: Path) -> None:
    person = Person([Dismissed("Nobody is there.")])
    output = await call(AskUserQuestion(), make_context(tmp_path, ask=person), questions=[QUESTION])
    assert text_of(output).startswith("Nobody is there. Decide yourself")


@pytest.mark.parametrize("options", [[], [{"label": "only"}], [{"label": str(n)} for n in range(5)]])
async def test_questions_have_two_to_four_options(tmp_path: Path, options: list[dict[str, str]]) -> None:
    with pytest.raises(ToolError, match="length"):
        await call(AskUserQuestion(), make_context(tmp_path), questions=[{"question": "?", "options": options}])
