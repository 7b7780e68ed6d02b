import json
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct

from kimi_agent.core.errors import ToolError
from kimi_agent.core.message import parse_arguments
from kimi_agent.core.schema import params_schema, validate


class Inner(Struct, frozen=True):
    kind: Literal["a", "b"]
    weight: int = 1


class Tree(Struct):
    children: list["Tree"] = []


class Params(Struct, frozen=True):
    path: str
    one_or_more: Inner | list[Inner]
    depth: Annotated[int, Meta(ge=1, description="How deep")] = 3
    every: bool = False
    maybe: list[Inner] | None = None
    name: str | None = None
    level: Literal[1, 2] = 1


def every_property(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    return [*inner, *(found for child in inner for found in every_property(child))]


def test_every_nested_property_has_a_type_and_nothing_is_a_reference() -> None:
    schema = params_schema(Params)
    assert schema["type"] == "object"
    assert schema["required"] == ["path", "one_or_more"]
    found = every_property(schema)
    assert len(found) > 12
    assert all("anyOf" in one or isinstance(one["type"], str) for one in found)
    assert all("type" not in one for one in found if "anyOf" in one)  # one API refuses both together
    text = json.dumps(schema)
    assert "$" not in text
    assert "title" not in text
    assert "null" not in text
    assert schema["properties"]["maybe"]["type"] == "array"
    assert schema["properties"]["level"] == {"type": "integer", "enum": [1, 2], "default": 1}
    assert schema["properties"]["depth"]["description"] == "How deep"


def test_a_type_that_contains_itself_ends() -> None:
    schema = params_schema(Tree)
    assert schema["properties"]["children"]["items"] == {"type": "object"}


def test_null_stands_for_not_given() -> None:
    arguments = {"path": "p", "one_or_more": {"kind": "a", "weight": None}, "depth": None, "every": None, "level": None}
    assert validate(Params, arguments) == Params("p", Inner("a"))
    with pytest.raises(ToolError, match="expected `string`, got `null` at `path`"):
        validate(Params, {"path": None, "one_or_more": []})
    deep: Any = None
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(ToolError):
        validate(Params, {"path": "p", "one_or_more": deep})


def test_numbers_and_truths_may_come_as_strings_and_json_inside_json() -> None:
    arguments = {"path": "p", "one_or_more": '[{"kind": "a", "weight": "2"}]', "depth": "5", "every": "true", "more": 1}
    assert validate(Params, arguments) == Params("p", [Inner("a", 2)], 5, True)
    assert validate(Params, {"path": "5", "one_or_more": {"kind": "b"}, "maybe": None}).path == "5"
    assert validate(Params, {"path": "{}", "one_or_more": "[]"}.copy() | {"path": "{x"}).path == "{x"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"one_or_more": []}, "missing required field `path`"),
        ({"file_path": "x", "one_or_more": []}, "(no such parameter: `file_path`)"),
        ({"path": 1, "one_or_more": []}, "expected `string`, got `integer` at `path`"),
        ({"path": "p", "one_or_more": [{"kind": "a"}, {"kind": 3}]}, "at `one_or_more[1].kind`"),
        ({"path": "p", "one_or_more": [], "depth": 0}, "expected `integer` >= 1 at `depth`"),
        ({"path": "p", "one_or_more": [], "depth": "many"}, "expected `integer`, got `string` at `depth`"),
        ({"path": "p", "one_or_more": "text"}, "got `string` at `one_or_more`"),
    ],
)
def test_errors_say_what_was_expected_and_where(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolError) as error:
        validate(Params, arguments)
    message = str(error.value)
    assert message.startswith("Invalid arguments: ")
    assert words in message
    assert 'kind: "a" | "b", weight?: integer' in message


@pytest.mark.parametrize(
    ("text", "word"),
    [("[]", "array"), ("null", "null"), ('"x"', "string"), ("1", "integer"), ("1.5", "number"), ("true", "boolean")],
)
def test_arguments_that_are_no_object_are_named_as_json_does(text: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"expected a JSON object, got {word}$"):
        parse_arguments(text)


def test_a_parameter_named_like_a_type_keeps_its_name() -> None:
    class Odd(Struct):
        str: int

    with pytest.raises(ToolError, match=r"expected `integer`, got `array` at `str`\. Expected: \{str: integer\}"):
        validate(Odd, {"str": []})
