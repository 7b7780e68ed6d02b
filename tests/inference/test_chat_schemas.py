"""Every schema's tool calls are valid: drawn at random from what the grammar allows, streamed token by token and taken whole."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_chat_house import Sampler, reply, tiny_tokenizer
from inference_house import K2_DATA, needs_k2_data
from inference_schemas import LOOSE, SCHEMAS, deep
from nightly import examples

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.parser import StreamParser
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.errors import RequestError

COMPILER = GrammarCompiler(tiny_tokenizer())


def tool(schema, name="Tool"):
    return {"type": "function", "function": {"name": name, "parameters": schema}}


@pytest.fixture(scope="module")
def tiny():
    tokenizer = tiny_tokenizer()
    return tokenizer, COMPILER


def validator(schema):
    kind = jsonschema.Draft202012Validator
    return kind(schema, format_checker=kind.FORMAT_CHECKER)


def check(made, schema, seed, hurry=0.5):
    """One reply that must call, drawn by `seed`; its number of tokens."""
    tokenizer, compiler = made
    grammar = compiler.grammar([tool(schema)], tool_choice="required", next_tool_index=seed)
    assert grammar.notes == []
    ids = Sampler(tokenizer, seed, hurry).draw(grammar)
    parser = StreamParser(tokenizer, names=["Tool"], next_tool_index=seed)
    streamed = reply([piece for token in ids for piece in parser.feed(token)] + parser.end())
    assert streamed["complete"]
    assert all(streamed["complete"])
    assert parser.notes == []
    arguments = tokenizer.decode(ids).split("<|tool_call_argument_begin|>")[1:]
    whole = [text.split("<|tool_call_end|>")[0] for text in arguments]
    assert [json.loads(call["arguments"]) for call in streamed["calls"]] == [json.loads(text) for text in whole]
    for nth, call in enumerate(streamed["calls"]):
        assert call["id"] == f"functions.Tool:{seed + nth}"
        validator(schema).validate(json.loads(call["arguments"]))
    return len(ids)


def test_there_are_enough_and_they_differ():
    assert len({json.dumps(schema, sort_keys=True) for schema in SCHEMAS}) >= 212
    for schema in SCHEMAS:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_calls_are_valid_for_every_schema(tiny):
    for seed, schema in enumerate(SCHEMAS):
        check(tiny, schema, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("hurry", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("round_", range(4))
def test_calls_are_valid_for_every_schema_many_times(tiny, hurry, round_):
    for seed, schema in enumerate(SCHEMAS):
        check(tiny, schema, 1000 * (round_ + 1) + seed, hurry)


@pytest.fixture(scope="module")
def k2():
    tokenizer = Tokenizer.load(K2_DATA)
    return tokenizer, GrammarCompiler(tokenizer)


@needs_k2_data
def test_calls_are_valid_in_k2_s_own_tokens(k2):
    for seed in range(0, len(SCHEMAS), 12):
        check(k2, SCHEMAS[seed], seed)


@needs_k2_data
@pytest.mark.nightly
def test_calls_are_valid_in_k2_s_own_tokens_for_every_schema(k2):
    for seed, schema in enumerate(SCHEMAS):
        check(k2, schema, seed)


@pytest.mark.parametrize(("schema", "why"), LOOSE, ids=lambda value: json.dumps(value)[:40])
def test_what_cannot_be_enforced_is_looser_and_said(tiny, schema, why):
    tokenizer, compiler = tiny
    grammar = compiler.grammar([tool(schema)], tool_choice="required")
    assert len(grammar.notes) == 1
    assert "tool Tool: " in grammar.notes[0]
    assert why in grammar.notes[0]
    parser = StreamParser(tokenizer, names=["Tool"])
    pieces = [piece for token in Sampler(tokenizer, 1).draw(grammar) for piece in parser.feed(token)]
    assert all(reply(pieces + parser.end())["complete"])


@pytest.mark.parametrize(
    ("kind", "valid", "wrong"),
    [
        (
            "date",
            ["2024-02-29", "2000-02-29", "1999-12-31"],
            ["2023-02-29", "1900-02-29", "2024-02-30", "2024-04-31", "0000-01-01"],
        ),
        ("time", ["23:59:59Z", "00:00:00.5+23:59"], ["24:00:00Z", "23:59:60Z", "23:59:59"]),
        (
            "date-time",
            ["2024-02-29T12:00:00Z", "2024-01-31T00:00:00.123-02:00"],
            ["2023-02-29T12:00:00Z", "2024-01-01"],
        ),
    ],
)
def test_dates_are_days_that_there_are(tiny, kind, valid, wrong):
    tokenizer, compiler = tiny
    schema = {"type": "object", "properties": {"v": {"type": ["string", "null"], "format": kind}}, "required": ["v"]}
    for text in valid + wrong:
        grammar = compiler.grammar(None, response_format={"type": "json_schema", "json_schema": {"schema": schema}})
        assert grammar.notes == []
        try:
            for token in tokenizer.encode(json.dumps({"v": text})):
                grammar.accept(token)
            assert text in valid
            assert grammar.is_done
        except ValueError:
            assert text in wrong


def test_what_does_not_compile_leaves_the_rest_enforced(tiny):
    """One broken pattern, one giant bound and one dangling reference cost only themselves."""
    good = {"type": "string", "pattern": "^[a-z]{2}$"}
    schema = {
        "$defs": {"Good": good},
        "type": "object",
        "properties": {
            "bad": {"type": "string", "pattern": "^(?!x)"},
            "giant": {"type": "string", "minLength": 10**12},
            "dangling": {"$ref": "#/$defs/Gone"},
            "good": {"$ref": "#/$defs/Good"},
            "pattern": {"type": "integer", "minimum": 3, "maximum": 5},
        },
        "required": ["bad", "giant", "dangling", "good", "pattern"],
        "additionalProperties": False,
    }
    enforced = {
        **schema,
        "properties": {**schema["properties"], "bad": {"type": "string"}, "giant": {"type": "string"}, "dangling": {}},
    }
    for seed in range(10):
        grammar = tiny[1].grammar([tool(schema)], tool_choice="required", parallel=False)
        assert "some patterns, bounds or references" in grammar.notes[0]
        text = (
            tiny[0]
            .decode(Sampler(tiny[0], seed).draw(grammar))
            .split("argument_begin|>")[1]
            .split("<|tool_call_end")[0]
        )
        validator(enforced).validate(json.loads(text))


def test_a_schema_too_deep_for_the_grammar_allows_any_object(tiny):
    grammar = tiny[1].grammar([tool(deep(90))], tool_choice="required")
    assert "any JSON object is allowed" in grammar.notes[0]
    Sampler(tiny[0], 1).draw(grammar)


def test_a_schema_too_deep_for_anything_is_refused(tiny):
    for levels in (300, 100_000):
        schema = {}
        for _ in range(levels):
            schema = {"items": schema}
        with pytest.raises(RequestError, match="nested deeper than 200"):
            tiny[1].grammar([tool(schema)])
        with pytest.raises(RequestError, match="nested deeper than 200"):
            tiny[1].grammar(response_format={"type": "json_schema", "json_schema": {"schema": schema}})


def test_a_deep_schema_is_enforced(tiny):
    check(tiny, deep(30), 0)


KEYWORDS = [
    *(
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "enum",
        "const",
        "anyOf",
        "oneOf",
    ),
    *("allOf", "not", "if", "$ref", "$defs", "minimum", "maximum", "multipleOf", "minLength", "maxLength", "pattern"),
    *("format", "minItems", "uniqueItems", "patternProperties", "x-guidance", "$id"),
]
VALUES = st.sampled_from(
    [
        "object",
        "string",
        "integer",
        "array",
        "#",
        "#/$defs/a",
        "(",
        "^a+$",
        "date",
        -1,
        0,
        1e308,
        2**70,
        True,
        None,
        "\ud800",
    ]
)
ANYTHING = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=examples(80))
@given(st.dictionaries(st.sampled_from(KEYWORDS), ANYTHING, max_size=5))
def test_any_json_as_a_schema_makes_a_grammar(schema):
    grammar = COMPILER.grammar([tool(schema)], tool_choice="required")
    assert grammar.allowed().any()
