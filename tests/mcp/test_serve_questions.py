"""Questions of the agent as forms of MCP."""

from typing import Any

import pytest

from kimi_agent.core.ask import Allow, Answer, Choice, Chosen, Deny, Dismissed, Item, Option, Permission
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.frontends.mcp_server.questions import REFUSED, answer_of, form_of, way_to_allow

CALL = Permission(
    ToolCall("1", "Shell", '{"command": "rm -r x"}'), (Effect("run", "rm -r \u202ex"),), always=("Shell(rm)",)
)
TEN = tuple(Option(label) for label in ("one", "two\x1b[2J"))
CHOICE = Choice((Item("Which?", TEN), Item("Which ones?", TEN, multiple=True), Item("Name?", ())), text="# The plan")


@pytest.mark.parametrize(
    ("action", "content", "answer"),
    [
        ("accept", {"answer": "allow once"}, Allow("once")),
        ("accept", {"answer": "deny"}, Deny(REFUSED)),
        ("accept", {"answer": "deny", "instead": "Keep x."}, Deny("Keep x.")),
        ("accept", {"answer": "allow"}, Deny(REFUSED)),
        ("accept", {"answer": True}, Deny(REFUSED)),
        ("accept", {}, Deny(REFUSED)),
        ("accept", None, Deny(REFUSED)),
        ("decline", {"answer": "allow once"}, Deny(REFUSED)),
        ("cancel", {"answer": "allow once"}, Deny(REFUSED)),
    ],
)
def test_only_the_exact_words_allow(action: str, content: dict[str, Any] | None, answer: Answer) -> None:
    assert answer_of(CALL, action, content) == answer


def test_what_could_mislead_is_spelled_out() -> None:
    message = form_of(CALL).message
    assert "rm -r ⟨U+202E⟩x" in message
    assert "kimi mcp serve allows it with --allow 'Shell(rm)', or with --yolo" in way_to_allow(CALL)


def test_choices_are_fields_of_primitive_values() -> None:
    form = form_of(CHOICE)
    kinds = {name: field["type"] for name, field in form.schema["properties"].items()}
    assert kinds == {
        "answer_1": "string", "answer_1_other": "string", "answer_2_1": "boolean", "answer_2_2": "boolean",
        "answer_2_other": "string", "answer_3_other": "string",
    }  # fmt: skip
    assert "# The plan" in form.message
    assert "\x1b" not in repr(form.schema["properties"]["answer_1"]["enum"][1])


@pytest.mark.parametrize(
    ("content", "values"),
    [
        ({"answer_1": "one", "answer_2_1": True, "answer_2_2": True}, (("one",), ("one", "two\x1b[2J"), ())),
        ({"answer_1": "three", "answer_1_other": " mine "}, (("mine",), (), ())),
        ({"answer_2_1": "yes", "answer_2_other": "more", "answer_3_other": "Bo"}, ((), ("more",), ("Bo",))),
    ],
)
def test_what_was_filled_in(content: dict[str, Any], values: tuple[tuple[str, ...], ...]) -> None:
    assert answer_of(CHOICE, "accept", content) == Chosen(values)


def test_nothing_filled_in_is_no_answer() -> None:
    assert isinstance(answer_of(CHOICE, "accept", {}), Dismissed)
    assert isinstance(answer_of(CHOICE, "decline", {"answer_1": "one"}), Dismissed)
