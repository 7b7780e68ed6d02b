"""JSON Schemas of strangers: what the model is shown, and what its arguments are held against."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.errors import ToolError
from kimi_agent.core.json_schema import DESCRIPTION, NODES, problem_with
from kimi_agent.core.schema import params_schema, validate

KINDS = {"string", "integer", "number", "boolean", "array", "object"}
GREET = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Name  to\ngreet"},
        "lang": {"enum": ["en", "zh"]},
        "times": {"type": ["integer", "null"], "minimum": 1},
    },
    "required": ["name"],
}


def nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += [schema["items"]] if "items" in schema else []
    return [schema, *(found for child in inner for found in nodes(child))]


def is_fit(schema: dict[str, Any]) -> bool:
    assert schema["type"] == "object"
    assert isinstance(schema["properties"], dict)
    for node in nodes(schema):
        assert ("anyOf" in node) != ("type" in node)
        assert "anyOf" in node or node["type"] in KINDS
        assert "$ref" not in node
    return True


def test_what_is_missing_is_filled_in() -> None:
    shown = params_schema(GREET)
    assert is_fit(shown)
    assert shown["required"] == ["name"]
    assert shown["properties"]["name"] == {"description": "Name to greet", "type": "string"}
    assert shown["properties"]["lang"] == {"type": "string", "enum": ["en", "zh"]}
    assert shown["properties"]["times"] == {"minimum": 1, "type": "integer"}
    assert params_schema({}) == {"type": "object", "properties": {}}


def test_references_are_resolved_and_end() -> None:
    tree = {"type": "object", "properties": {"more": {"type": "array", "items": {"$ref": "#/definitions/tree"}}}}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"tree": tree},
        "properties": {
            "tree": {"$ref": "#/definitions/tree"},
            "far": {"$ref": "https://example.com/x.json"},
            "either": {"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]},
            "both": {
                "allOf": [{"properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {"type": "number"}}}]
            },
            "long": {"type": "string", "description": "word " * 200},
        },
    }
    shown = params_schema(schema)
    assert is_fit(shown)
    assert shown["properties"]["tree"]["properties"]["more"]["items"] == {"type": "object"}
    assert shown["properties"]["far"] == {"type": "object"}
    assert shown["properties"]["either"] == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    assert set(shown["properties"]["both"]["properties"]) == {"a", "b"}
    assert len(shown["properties"]["long"]["description"]) == DESCRIPTION
    assert json.dumps(shown) == json.dumps(params_schema(schema))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["string", "object", "array", "#/x", "null"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "enum", "required", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["type", "properties", "anyOf", "$ref", "allOf", "enum"]), json_values))
def test_whatever_a_stranger_writes_becomes_fit(schema: dict[str, Any]) -> None:
    assert is_fit(params_schema(schema))


def test_valid_arguments_are_passed_on_as_they_are() -> None:
    assert validate(GREET, {"name": "Ann", "more": 1}) == {"name": "Ann", "more": 1}


def test_what_models_often_get_wrong_is_set_right() -> None:
    schema = {"properties": {"n": {"type": "integer"}, "list": {"type": "array"}, "on": {"type": "boolean"}}}
    given = {"n": "5", "list": '["a"]', "on": "true"}
    assert validate(schema, {**given, "other": None}) == {"n": 5, "list": ["a"], "on": True}
    assert validate(GREET, {"name": "Ann", "lang": None}) == {"name": "Ann"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'name' is a required property"),
        ({"name": 5}, "5 is not of type 'string' at `name`"),
        ({"name": "x", "lang": "de"}, "at `lang`"),
        ({"name": "x", "times": 0}, "less than the minimum of 1 at `times`"),
    ],
)
def test_wrong_arguments_are_named_with_what_was_expected(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ToolError) as caught:
        validate(GREET, arguments)
    assert words in str(caught.value)
    assert '{name: string, lang?: "en" | "zh", times?: integer}' in str(caught.value)


def test_a_schema_that_is_wrong_is_told_and_nothing_is_fetched() -> None:
    assert problem_with(GREET) == ""
    assert "no JSON Schema" in problem_with({"type": 7})
    with pytest.raises(ToolError, match="its own schema is wrong"):
        validate({"properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}, {"a": 1})


@pytest.mark.parametrize(
    "schema",
    [
        {"$schema": ["x"], "type": "object"},
        {"$schema": 5},
        {"$schema": "http://[bad"},
        {"properties": {"a": {"type": "string", "pattern": "("}}},
        {"properties": {"a": 5}, "required": 5},
        {"allOf": [{"properties": 5}]},
        {"properties": {"a": {"enum": [1], "type": 5}}, "required": [["a"]]},
        {"properties": {"a": {"type": "string", "minLength": "x"}}},
    ],
    ids=repr,
)
def test_a_schema_that_is_none_costs_the_tool_and_nothing_else(schema: dict[str, Any]) -> None:
    assert is_fit(params_schema(schema))
    assert problem_with(schema)
    with pytest.raises(ToolError, match=r"its own schema is wrong|nvalid arguments"):
        validate(schema, {"a": "x"})


def test_what_no_request_can_carry_is_left_out() -> None:
    """One such value would make every request of the session fail."""
    wrong = {
        "default": float("nan"),
        "minimum": float("inf"),
        "maxLength": -1,
        "minItems": True,
        "pattern": "(",
        "format": 5,
    }
    schema = {
        "properties": {"a": {"type": "string", **wrong}, "b\ud800": {}, "c": {"enum": ["ok", "\udfff"], "type": 5}},
        "required": ["a", "b\ud800"],
    }
    shown = params_schema(schema)
    assert shown["properties"] == {"a": {"type": "string"}, "c": {"type": "string", "enum": ["ok"]}}
    assert shown["required"] == ["a"]
    assert (
        params_schema({"properties": {"a": {"description": "x\x1b[31m\ud800"}}})["properties"]["a"]["description"]
        == "x\ufffd"
    )


def test_types_that_name_one_another_stay_small() -> None:
    names = [f"t{number}" for number in range(10)]
    kind = {"type": "object", "properties": {name: {"$ref": f"#/$defs/{name}"} for name in names}}
    shown = params_schema({"$defs": dict.fromkeys(names, kind), "properties": {"a": {"$ref": "#/$defs/t0"}}})
    assert is_fit(shown)
    assert len(nodes(shown)) < 2 * NODES
