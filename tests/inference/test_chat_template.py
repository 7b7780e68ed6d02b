"""Conversations as K2's templates write them: expected texts written by hand, marker by marker, and what must be refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_chat_house import reply, tiny_tokenizer, write_tokenizer
from inference_house import K2_DATA, needs_k2_data
from inference_schemas import SCHEMAS
from nightly import examples

from inference_backend.chat.parser import StreamParser
from inference_backend.chat.render import declaration, render
from inference_backend.chat.template import TEMPLATES, choose_template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.typescript import declare
from inference_backend.errors import CheckpointError, RequestError

TOKENIZER = tiny_tokenizer()
KIMI = "<|im_system|>system<|im_middle|>You are Kimi, an AI assistant created by Moonshot AI.<|im_end|>"
READ = {
    "type": "function",
    "function": {
        "name": "Read",
        "description": "Reads a file.\nNothing else.",
        "parameters": {
            "type": "object",
            "required": ["path"],
            "properties": {
                "path": {"type": "string", "description": "where"},
                "limit": {"type": "integer", "minimum": 1, "default": 200},
            },
            "additionalProperties": False,
        },
    },
}


def call(call_id="call_1", name="Read", arguments='{"path": "a"}'):
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def text(messages, tools=None, template="k2-thinking", **fields):
    rendered = render(messages, tools, tokenizer=TOKENIZER, template=TEMPLATES[template], **fields)
    return TOKENIZER.decode(rendered.tokens)


USER, ANSWER = {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes", "reasoning_content": "R1"}
CALLS = {"role": "assistant", "content": None, "reasoning_content": "R2", "tool_calls": [call()]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "text"}
HISTORY = [USER, ANSWER, USER, CALLS, RESULT]

U = "<|im_user|>user<|im_middle|>hi<|im_end|>"
A = "<|im_assistant|>assistant<|im_middle|>"
C = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.Read:0<|tool_call_argument_begin|>"
    '{"path": "a"}<|tool_call_end|><|tool_calls_section_end|><|im_end|>'
)
R = "<|im_system|>tool<|im_middle|>## Return of functions.Read:0\ntext<|im_end|>"


@pytest.mark.parametrize(
    ("template", "fields", "expected"),
    [
        ("k2-instruct", {}, f"{KIMI}{U}{A}yes<|im_end|>{U}{A}{C}{R}{A}"),
        ("k2-thinking", {}, f"{KIMI}{U}{A}<think></think>yes<|im_end|>{U}{A}<think>R2</think>{C}{R}{A}"),
        ("k2.5", {}, f"{KIMI}{U}{A}<think></think>yes<|im_end|>{U}{A}<think>R2</think>{C}{R}{A}<think>"),
        (
            "k2.5",
            {"thinking": False},
            f"{KIMI}{U}{A}<think></think>yes<|im_end|>{U}{A}<think></think>{C}{R}{A}<think></think>",
        ),
        ("k2.6", {}, f"{KIMI}{U}{A}<think></think>yes<|im_end|>{U}{A}<think>R2</think>{C}{R}{A}<think>"),
        (
            "k2.6",
            {"preserve_thinking": True},
            f"{KIMI}{U}{A}<think>R1</think>yes<|im_end|>{U}{A}<think>R2</think>{C}{R}{A}<think>",
        ),
        ("k2.7-code", {}, f"{U}{A}<think>R1</think>yes<|im_end|>{U}{A}<think>R2</think>{C}{R}{A}<think>"),
        (
            "k2.7-code",
            {"add_generation_prompt": False},
            f"{U}{A}<think>R1</think>yes<|im_end|>{U}{A}<think>R2</think>{C}{R}",
        ),
    ],
)
def test_a_history_in_every_template(template, fields, expected):
    assert text(HISTORY, template=template, **fields) == expected


def test_what_the_parser_and_the_grammar_need():
    made = {name: render(HISTORY, tokenizer=TOKENIZER, template=template) for name, template in TEMPLATES.items()}
    assert {name: (one.in_think, one.may_think) for name, one in made.items()} == {
        "k2-instruct": (False, False),
        "k2-thinking": (False, True),
        "k2.5": (True, False),
        "k2.6": (True, False),
        "k2.7-code": (True, False),
    }
    assert {one.next_tool_index for one in made.values()} == {1}
    assert made["k2.5"].client_ids == {"functions.Read:0": "call_1"}
    assert not render([USER], tokenizer=TOKENIZER, template=TEMPLATES["k2.5"], thinking=False).in_think


def test_own_system_name_and_parts():
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "brief"}]},
        {"role": "user", "name": "ann", "content": "hi"},
        {"role": "assistant", "content": "", "reasoning": "thought", "tool_calls": [call(arguments={"path": "é"})]},
        {"role": "tool", "name": "Read", "tool_call_id": "call_1", "content": ""},
        {"role": "system", "content": "later"},
    ]
    calls = C.replace('"a"', '"é"')
    assert text(messages) == (
        "<|im_system|>system<|im_middle|>be brief<|im_end|><|im_user|>ann<|im_middle|>hi<|im_end|>"
        f"{A}<think>thought</think>{calls}"
        "<|im_system|>Read<|im_middle|>## Return of functions.Read:0\n<|im_end|>"
        f"<|im_system|>system<|im_middle|>later<|im_end|>{A}"
    )


def test_ids_are_renumbered_over_the_whole_conversation():
    def turn(*ids):
        calls = {"role": "assistant", "content": "", "tool_calls": [call(one, "Read") for one in ids]}
        return [calls, *({"role": "tool", "tool_call_id": one, "content": one} for one in reversed(ids))]

    rendered = render(
        [USER, *turn("x", "y"), *turn("x"), *turn("functions.Read:0")], tokenizer=TOKENIZER, template=TEMPLATES["k2.5"]
    )
    written = TOKENIZER.decode(rendered.tokens)
    assert [f"functions.Read:{n}<" in written for n in range(5)] == [True] * 4 + [False]
    for index, own in ((0, "x"), (1, "y"), (2, "x"), (3, "functions.Read:0")):
        assert f"## Return of functions.Read:{index}\n{own}<|im_end|>" in written
    assert rendered.next_tool_index == 4


TYPESCRIPT = """# Tools

## functions
namespace functions {
// Reads a file.
// Nothing else.
type Read = (_: {
  // where
  path: string,
  // minimum: 1
  // Default: 200
  limit?: number,
  [k: string]: never
}) => any;
}
"""
COMPACT = (
    '[{"function":{"description":"Reads a file.\\nNothing else.","name":"Read","parameters":{"additionalProperties":false,'
    '"properties":{"limit":{"default":200,"minimum":1,"type":"integer"},"path":{"description":"where","type":"string"}},'
    '"required":["path"],"type":"object"}},"type":"function"}]'
)


def test_tools_come_first_in_the_template_s_form():
    declared = "<|im_system|>tool_declare<|im_middle|>{}<|im_end|>"
    assert text([USER], [READ], "k2.5") == declared.format(TYPESCRIPT) + KIMI + U + A + "<think>"
    assert text([USER], [READ], "k2-thinking") == declared.format(COMPACT) + KIMI + U + A
    unsorted = json.dumps([READ], ensure_ascii=False, separators=(",", ":"))
    assert text([USER], [READ], "k2-instruct") == declared.format(unsorted) + KIMI + U + A
    assert text([USER], [], "k2.5") == KIMI + U + A + "<think>"


def function(parameters, name="T"):
    return [{"type": "function", "function": {"name": name, "parameters": parameters}}]


def test_typescript_of_nested_schemas():
    parameters = {
        "$defs": {"Level": {"description": "how bad", "enum": ["low", 3, None]}},
        "properties": {
            "b": {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "description": "one\n\ntwo", "maxLength": 9},
            },
            "a": {"anyOf": [{"type": "array", "items": {"type": ["integer", "null"]}}, {"$ref": "#/$defs/Level"}]},
            "c": {"type": "object", "properties": {"d": {"type": "boolean", "default": True}}, "required": ["d"]},
            "e": {"type": "object", "additionalProperties": {"type": "number"}, "default": {"k": 1}},
        },
        "required": ["c"],
    }
    assert declare(function(parameters)).split("{\n", 1)[1] == (
        '// how bad\ninterface Level "low" | 3 | None\n'
        "type T = (_: {\n"
        "  c: {\n    // Default: True\n    d: boolean\n  },\n"
        "  a?: Array<number | null> | Level,\n"
        "  // minItems: 1\n"
        "  b?: Array<\n    // one\n\n    // two\n    // maxLength: 9\n    string\n  >,\n"
        '  // Default: {"k": 1}\n'
        "  e?: {\n    [k: string]: number\n  }\n"
        "}) => any;\n}\n"
    )


def test_typescript_of_a_schema_within_itself():
    parameters = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert "interface parameters {\n  child?: parameters\n}\ntype T = (_: parameters) => any;" in declare(
        function(parameters)
    )


@pytest.mark.parametrize(
    "schema", [{"oneOf": [{}]}, {"$ref": "#/elsewhere"}, {"description": "no type"}, {"type": "string", "enum": [1]}]
)
def test_what_typescript_cannot_say_is_declared_as_json(schema):
    tools = function({"type": "object", "properties": {"v": schema}})
    with pytest.raises(ValueError, match=r"TypeScript|reference|enum"):
        declare(tools)
    assert json.loads(declaration(tools, TEMPLATES["k2.5"])) == tools


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_schema_can_be_declared(template):
    for schema in SCHEMAS:
        assert declaration(function(schema), TEMPLATES[template])


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_text_of_a_request_becomes_a_marker(template):
    evil = "".join(TOKENIZER.special)
    messages = [
        {"role": "system", "content": evil},
        {"role": "user", "name": evil, "content": evil},
        {"role": "assistant", "content": evil, "reasoning_content": evil, "tool_calls": [call(evil, evil, evil)]},
        {"role": "tool", "name": evil, "tool_call_id": evil, "content": evil},
    ]
    tools = [{"type": "function", "function": {"name": "T", "description": evil, "parameters": {"title": evil}}}]
    harmless = json.loads(json.dumps([messages, tools]).replace(json.dumps(evil)[1:-1], "x"))

    def markers(conversation, declared):
        made = render(conversation, declared, tokenizer=TOKENIZER, template=TEMPLATES[template])
        return [token for token in made.tokens if TOKENIZER.is_special(token)]

    assert markers(messages, tools) == markers(*harmless)


@needs_k2_data
def test_k2_golden_prompt():
    tokenizer = Tokenizer.load(K2_DATA)
    messages = [{"role": "user", "content": "Hello 北京 it's 12345 HTTPServer's\n\n  foo"}]
    assert render(messages, tokenizer=tokenizer, template=TEMPLATES["k2.7-code"]).tokens == [
        *(163587, 2482, 163601, 19180, 220, 3372, 4643, 220, 6694, 2899, 73374, 4022, 1048, 382, 220, 21633, 163586),
        *(163588, 69702, 163601, 163606),
    ]
    assert choose_template(K2_DATA).name == "k2.6"


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([], "at least one message"),
        ("hi", "must be a list"),
        ([3], r"messages\[0\] must be an object"),
        ([{"role": "robot", "content": ""}], r"messages\[0\]: role 'robot'"),
        ([{"role": ["user"], "content": ""}], r"messages\[0\]: role"),
        ([{"role": "user"}], r"messages\[0\] has no content"),
        ([{"role": "user", "content": 3}], r"messages\[0\]\.content must be"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            r"content\[0\] is of type 'image_url'",
        ),
        ([{"role": "user", "content": [{"type": "text"}]}], r"content\[0\] is of type 'text'"),
        ([{"role": "user", "content": "", "name": 3}], r"messages\[0\]\.name must be a text"),
        ([USER, {"role": "assistant", "tool_calls": 3}], r"messages\[1\]\.tool_calls must be a list"),
        ([USER, {"role": "assistant", "tool_calls": [{"id": "x"}]}], r"tool_calls\[0\]\.function must be"),
        ([USER, {"role": "assistant", "tool_calls": [call(name="")]}], r"tool_calls\[0\] names no function"),
        ([USER, {"role": "assistant", "tool_calls": [call(arguments=[1])]}], "id and arguments must be texts"),
        ([USER, {"role": "tool", "content": "x"}], r"messages\[1\] has no tool_call_id"),
        (
            [USER, {"role": "tool", "content": "x", "tool_call_id": "y"}],
            r"messages\[1\]: no earlier call has the id 'y'",
        ),
    ],
)
def test_wrong_messages_are_named(messages, what):
    with pytest.raises(RequestError, match=what):
        text(messages)


def test_thinking_that_a_model_cannot():
    with pytest.raises(RequestError, match="k2-instruct does not think"):
        text([USER], template="k2-instruct", thinking=True)
    for template in ("k2-thinking", "k2.7-code"):
        with pytest.raises(RequestError, match="always thinks"):
            text([USER], template=template, thinking=False)
    assert text([USER], template="k2-instruct", thinking=False) == KIMI + U + A


@pytest.mark.parametrize(
    ("jinja", "name"),
    [
        ("You are Kimi {{ messages }}", "k2-instruct"),
        ("You are Kimi <think>", "k2-thinking"),
        ("You are Kimi <think> {{ tools_ts_str }}", "k2.5"),
        ("You are Kimi <think> {{ tools_ts_str }} preserve_thinking", "k2.6"),
        ("<think> {{ tools_ts_str }} preserve_thinking", "k2.7-code"),
        ("{{ ''.__class__.__mro__ }}{% for x in range(10**12) %}{% endfor %}", "k2-instruct"),
    ],
)
def test_the_template_is_chosen_by_the_checkpoint_s_own_and_never_runs_it(tmp_path, jinja, name):
    write_tokenizer(tmp_path, chat_template=jinja)
    assert choose_template(tmp_path).name == name
    write_tokenizer(tmp_path, chat_template=[{"name": "default", "template": jinja}])
    assert choose_template(tmp_path).name == name
    write_tokenizer(tmp_path)
    (tmp_path / "chat_template.jinja").write_text(jinja)
    assert choose_template(tmp_path).name == name


def test_the_template_without_one_in_the_checkpoint(tmp_path):
    write_tokenizer(tmp_path, thinking=False)
    assert choose_template(tmp_path).name == "k2-instruct"
    write_tokenizer(tmp_path)
    assert choose_template(tmp_path).name == "k2-thinking"
    (tmp_path / "config.json").write_text('{"model_type": "kimi_k25"}')
    assert choose_template(tmp_path).name == "k2.6"
    assert choose_template(tmp_path, "k2-instruct").name == "k2-instruct"
    with pytest.raises(RequestError, match="no chat template 'other'"):
        choose_template(tmp_path, "other")


def test_a_template_that_the_tokenizer_has_no_tokens_for():
    with pytest.raises(CheckpointError, match="no token <think>"):
        render([USER], tokenizer=tiny_tokenizer(thinking=False), template=TEMPLATES["k2.5"])


NAMES = st.sampled_from(["Read", "List"])
REPLY = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "reasoning_content": st.text(max_size=30),
        "content": st.text(max_size=30),
        "tool_calls": st.lists(
            st.builds(call, st.just("x"), NAMES, st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps)),
            max_size=3,
        ),
    }
)


@settings(max_examples=examples(150))
@given(REPLY, st.sampled_from(["k2-thinking", "k2.6", "k2.7-code"]))
def test_what_is_rendered_parses_back(message, template):
    """A reply of the model, sent back as history, is the same tokens: so the prefix of the next turn is what was written."""
    fields = {"tokenizer": TOKENIZER, "template": TEMPLATES[template], "preserve_thinking": True}
    prompt = render([USER], **fields)
    tail = {**USER, "content": "more"} if message["tool_calls"] else None
    whole = render([USER, message, *([tail] if tail else [])], add_generation_prompt=False, **fields)
    kept = template != "k2-thinking" or message["tool_calls"]
    written = whole.tokens[len(prompt.tokens) :]
    parser = StreamParser(TOKENIZER, names=["Read", "List"], in_think=prompt.in_think)
    made = reply([piece for token in written for piece in parser.feed(token)] + parser.end())
    assert made["reasoning"] == (message["reasoning_content"] if kept else "")
    assert made["content"] == message["content"]
    assert [(c["name"], c["arguments"]) for c in made["calls"]] == [
        (c["function"]["name"], c["function"]["arguments"]) for c in message["tool_calls"]
    ]
    assert [c["id"] for c in made["calls"]] == [f"functions.{c['name']}:{n}" for n, c in enumerate(made["calls"])]
    assert parser.notes == []
