"""The grammar of a reply, token by token: what may be said where, ids pinned, tokens forced, drafts taken back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_chat_house import Sampler, reply, tiny_tokenizer, tokens_of
from nightly import examples

from inference_backend.chat.grammar import GrammarCompiler
from inference_backend.chat.outline import MAX_CALLS
from inference_backend.chat.parser import StreamParser
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.engine.constraint import Constraint
from inference_backend.errors import CheckpointError, RequestError

TOKENIZER = tiny_tokenizer()
SPECIAL = TOKENIZER.special
BEGIN, CALL, ARGUMENTS, CALL_END, END = (
    f"<|tool_{name}|>"
    for name in ("calls_section_begin", "call_begin", "call_argument_begin", "call_end", "calls_section_end")
)
READ = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "Read", "parameters": READ}},
    {"type": "function", "function": {"name": "List"}},
]


@pytest.fixture(scope="module")
def compiler():
    return GrammarCompiler(TOKENIZER)


def call(name, index, arguments='{"path":"a"}'):
    return f"{CALL}functions.{name}:{index}{ARGUMENTS}{arguments}{CALL_END}"


def some(mode, *names):
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def accepts(grammar: Constraint, text: str) -> bool:
    """Whether the grammar takes `text`, each token being allowed, and may end behind it."""
    for token in tokens_of(text + "<|im_end|>", TOKENIZER):
        allowed = grammar.allowed()
        assert allowed is not None
        if not allowed[token]:
            return False
        grammar.accept(token)
    return True


ONE, TWO = call("Read", 3), call("Read", 3) + call("List", 4, "{}")


@pytest.mark.parametrize(
    ("fields", "taken", "refused"),
    [
        (
            {},
            ["", "hello", "hi" + BEGIN + ONE + END, BEGIN + TWO + END, "<think> in plain letters"[1:]],
            [
                BEGIN + END,
                BEGIN + call("Read", 0) + END,
                BEGIN + call("Read", 3, "{}") + END,
                BEGIN + call("Read", 3, '{"path":"a","x":1}') + END,
                BEGIN + call("Nothing", 3) + END,
                BEGIN + ONE + call("List", 3, "{}") + END,
                BEGIN + ONE,
                BEGIN + ONE + END + "more",
                ONE,
                "<think>a</think>b",
                "<|im_user|>",
                "<|reserved_token_400|>",
            ],
        ),
        (
            {"in_think": True},
            ["so", "so</think>", "so</think>hi", "so</think>hi" + BEGIN + ONE + END, "so" + BEGIN + ONE + END],
            ["<think>", "a</think>b</think>", "a</think>" + BEGIN + END],
        ),
        (
            {"may_think": True},
            ["hi", "<think>so</think>hi", "<think>so" + BEGIN + ONE + END, "<think></think>" + BEGIN + ONE + END],
            ["hi<think>", "</think>"],
        ),
        ({"tool_choice": "none"}, ["hi"], [BEGIN + ONE + END]),
        ({"tool_choice": "none", "in_think": True}, ["so</think>hi"], ["so" + BEGIN + ONE + END]),
        ({"tool_choice": "required"}, [BEGIN + ONE + END, BEGIN + TWO + END], ["", "hi", "hi" + BEGIN + ONE + END]),
        (
            {"tool_choice": "required", "in_think": True},
            ["so</think>" + BEGIN + ONE + END, "so" + BEGIN + ONE + END],
            ["so", "so</think>", "so</think>hi"],
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "List"}}},
            [BEGIN + call("List", 3, "{}") + END],
            ["", BEGIN + ONE + END],
        ),
        ({"tool_choice": some("required", "List")}, [BEGIN + call("List", 3, "{}") + END], ["hi", BEGIN + ONE + END]),
        ({"tool_choice": some("auto", "List")}, ["hi", BEGIN + call("List", 3, "{}") + END], [BEGIN + ONE + END]),
        ({"parallel": False}, [BEGIN + ONE + END], [BEGIN + TWO + END]),
        ({"response_format": {"type": "text"}}, ["hi"], []),
        (
            {"response_format": {"type": "json_object"}},
            ["{}", '{"a": [1, {}]}', BEGIN + ONE + END],
            ["", "hi", "[]", "{} more", "{}" + BEGIN + ONE + END],
        ),
        (
            {
                "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": READ}},
                "in_think": True,
            },
            ['so</think>{"path": "a"}', "so" + BEGIN + ONE + END],
            ["so", "{}", "so</think>{}"],
        ),
        (
            {"response_format": {"type": "json_object"}, "tool_choice": "none", "in_think": True},
            ["so</think>{}"],
            ["so</think>", "so" + BEGIN + ONE + END],
        ),
    ],
)
def test_what_may_be_said(compiler, fields, taken, refused):
    for text in taken:
        assert accepts(compiler.grammar(TOOLS, next_tool_index=3, **fields), text), text
    for text in refused:
        assert not accepts(compiler.grammar(TOOLS, next_tool_index=3, **fields), text), text


def test_a_token_that_cannot_stand_leaves_the_grammar_as_it_was(compiler):
    grammar = compiler.grammar(TOOLS)
    for token in (SPECIAL[CALL_END], SPECIAL["<|im_user|>"]):
        with pytest.raises(ValueError, match="not allowed"):
            grammar.accept(token)
    assert accepts(grammar, "hi" + BEGIN + call("Read", 0) + END)
    with pytest.raises(ValueError, match="not allowed"):
        grammar.accept(TOKENIZER.encode("x")[0])


def test_without_tools_no_marker_is_allowed(compiler):
    grammar = compiler.grammar(None)
    allowed = grammar.allowed()
    ends = {SPECIAL[name] for name in ("<|im_end|>", "[EOS]", "[EOT]")}
    assert set(np.flatnonzero(allowed[TOKENIZER.ordinary_count :]) + TOKENIZER.ordinary_count) == ends
    assert accepts(grammar, "spelt: " + BEGIN.replace("<", "< "))


def test_spelt_markers_in_arguments_stay_text(compiler):
    grammar = compiler.grammar(TOOLS)
    ids = [
        *tokens_of(BEGIN + CALL + "functions.Read:0" + ARGUMENTS, TOKENIZER),
        *TOKENIZER.encode('{"path":"' + CALL_END + END + '"}'),
        *tokens_of(CALL_END + END, TOKENIZER),
    ]
    for token in ids:
        assert grammar.allowed()[token]
        grammar.accept(token)
    assert grammar.is_done


def test_what_must_come_is_forced(compiler):
    grammar = compiler.grammar([TOOLS[0]], tool_choice="required", next_tool_index=41)
    written = []
    while grammar.forced():
        for token in grammar.forced():
            assert grammar.allowed()[token]
            grammar.accept(token)
            written.append(token)
    text = TOKENIZER.decode(written)
    assert text.startswith(BEGIN + CALL + "functions.Read:41" + ARGUMENTS + '{"')
    assert '{"path":'.startswith(text.split(ARGUMENTS)[1])


@settings(max_examples=examples(25))
@given(st.integers(0, 10_000), st.lists(st.integers(1, 30), max_size=5))
def test_tokens_taken_back_leave_no_trace(seed, cuts):
    grammar = COMPILER.grammar(TOOLS, may_think=True, next_tool_index=2)
    ids = [*Sampler(TOKENIZER, seed).draw(grammar), SPECIAL["<|im_end|>"]]
    grammar = COMPILER.grammar(TOOLS, may_think=True, next_tool_index=2)
    masks = [grammar.allowed()]
    for token in ids:
        grammar.accept(token)
        masks.append(grammar.allowed())
    at = len(ids)
    for cut in cuts:
        back = min(cut, at)
        grammar.rollback(back)
        at -= back
        assert np.array_equal(grammar.allowed(), masks[at])
        for token in ids[at:]:
            grammar.accept(token)
        at = len(ids)
    assert grammar.is_done


COMPILER = GrammarCompiler(TOKENIZER)


@settings(max_examples=examples(30))
@given(st.integers(0, 10_000), st.sampled_from([{}, {"in_think": True}, {"may_think": True}]), st.booleans())
def test_whatever_is_drawn_parses_without_repair(seed, fields, must):
    choice = "required" if must else "auto"
    grammar = COMPILER.grammar(TOOLS, tool_choice=choice, next_tool_index=7, **fields)
    ids = Sampler(TOKENIZER, seed).draw(grammar)
    parser = StreamParser(TOKENIZER, names=["Read", "List"], next_tool_index=7, in_think=fields.get("in_think", False))
    made = reply([piece for token in ids for piece in parser.feed(token)] + parser.end())
    assert parser.notes == []
    assert all(made["complete"])
    assert len(made["calls"]) >= must
    assert [one["id"] for one in made["calls"]] == [
        f"functions.{c['name']}:{7 + n}" for n, c in enumerate(made["calls"])
    ]


def test_most_calls_of_one_reply(compiler):
    calls = "".join(call("List", n, "{}") for n in range(MAX_CALLS))
    assert accepts(compiler.grammar(TOOLS), BEGIN + calls + END)
    assert not accepts(compiler.grammar(TOOLS), BEGIN + calls + call("List", MAX_CALLS, "{}") + END)


def test_grammars_of_one_cached_shape_are_apart(compiler):
    first, second = compiler.grammar(TOOLS), compiler.grammar(TOOLS)
    first.accept(SPECIAL[BEGIN])
    assert second.allowed()[SPECIAL["<|im_end|>"]]
    assert not first.allowed()[SPECIAL["<|im_end|>"]]


def test_a_vocabulary_larger_than_the_tokenizer_s():
    grammar = GrammarCompiler(TOKENIZER, vocab_size=TOKENIZER.vocab_size + 9).grammar(TOOLS)
    allowed = grammar.allowed()
    assert allowed.shape == (TOKENIZER.vocab_size + 9,)
    assert not allowed[TOKENIZER.vocab_size :].any()


def test_a_vocabulary_smaller_than_the_tokenizer_s():
    with pytest.raises(CheckpointError, match="the model has 300 tokens"):
        GrammarCompiler(TOKENIZER, vocab_size=300)


def test_a_tokenizer_without_markers():
    tokenizer = Tokenizer({bytes([b]): b for b in range(256)}, {f"<{n}>": 256 + n for n in range(256)})
    with pytest.raises(CheckpointError, match=r"no token <.im_end.>"):
        GrammarCompiler(tokenizer)
    with pytest.raises(CheckpointError, match=r"no token <.tool_calls_section_begin.>"):
        GrammarCompiler(tokenizer, end_ids=[300]).grammar(TOOLS)


def test_a_grammar_that_grows_too_complex_is_given_up_and_said(compiler):
    """A pattern with ever more states; the request goes on without a grammar."""
    schema = {
        "type": "object",
        "properties": {"v": {"type": "string", "pattern": "^(.*a.{900}){1,20}$"}},
        "required": ["v"],
    }
    grammar = compiler.grammar([{"function": {"name": "T", "parameters": schema}}], tool_choice="required")
    ids = tokens_of(BEGIN + CALL + "functions.T:0" + ARGUMENTS + '{"v":"', TOKENIZER)
    ids += [TOKENIZER.encode(letter)[0] for letter in "abbabaaabbbabaabab" * 400]
    for token in ids:
        if grammar.allowed() is None:
            break
        grammar.accept(token)
    assert "given up" in grammar.notes[0]
    assert len(grammar.notes) == 1
    grammar.accept(ids[0])
    grammar.rollback(1)
    assert grammar.allowed() is None
    assert not grammar.forced()
    assert not grammar.is_done


def test_spaces_are_few_but_possible(compiler):
    assert accepts(compiler.grammar(TOOLS), BEGIN + call("Read", 0, '{"path": "a"}') + END)
    assert not accepts(compiler.grammar(TOOLS), BEGIN + call("Read", 0, '{"path":  "a"}') + END)


@pytest.mark.parametrize(
    ("tools", "fields", "what"),
    [
        (TOOLS, {"tool_choice": "sometimes"}, "tool_choice must be"),
        (TOOLS, {"tool_choice": {"type": "function", "function": {"name": "Gone"}}}, "'Gone', which is none"),
        (None, {"tool_choice": "required"}, "there are no tools"),
        (TOOLS, {"tool_choice": {"type": "allowed_tools"}}, "must have a mode"),
        (TOOLS, {"response_format": {"type": "xml"}}, "response_format must be"),
        (TOOLS, {"response_format": {"type": "json_schema"}}, "response_format must be"),
        ({}, {}, "tools must be a list"),
        ([3], {}, r"tools\[0\] must be an object"),
        ([{"type": "function", "function": {"name": 'a"b'}}], {}, r"tools\[0\]: name"),
        ([TOOLS[0], TOOLS[0]], {}, "a second tool is called Read"),
        ([{"type": "function", "function": {"name": "a", "parameters": []}}], {}, None),
        ([{"type": "function", "function": {"name": "a", "parameters": [1]}}], {}, "parameters must be"),
        ([{"type": "web"}], {}, "must be of type function"),
    ],
)
def test_wrong_requests_are_named(compiler, tools, fields, what):
    if what is None:
        compiler.grammar(tools, **fields)
        return
    with pytest.raises(RequestError, match=what):
        compiler.grammar(tools, **fields)


def test_very_many_tools(compiler):
    tools = [{"type": "function", "function": {"name": f"tool_{n}", "parameters": READ}} for n in range(200)]
    calls = [call("tool_199", n) for n in range(6)]
    assert accepts(compiler.grammar(tools), BEGIN + "".join(calls[:5]) + END)
    assert not accepts(compiler.grammar(tools), BEGIN + "".join(calls) + END)
    with pytest.raises(RequestError, match="at most 512"):
        compiler.grammar([{"function": {"name": f"tool_{n}"}} for n in range(513)])


def test_schemas_too_large_allow_any_object_and_say_so(compiler):
    def wide(count):
        return {"type": "object", "properties": {f"p{n}": {"enum": [n]} for n in range(count)}, "required": ["p0"]}

    tools = [
        {"function": {"name": f"tool_{n}", "parameters": wide(size)}} for n, size in enumerate([9, 5000, *[1200] * 6])
    ]
    grammar = compiler.grammar(tools)
    assert ["too large" in note for note in grammar.notes] == [True] * len(grammar.notes)
    assert [note.split(":")[0] for note in grammar.notes] == [f"tool tool_{n}" for n in (1, 5, 6, 7)]
    assert accepts(grammar, BEGIN + call("tool_7", 0) + call("tool_0", 1, '{"p0":0}') + END)
    assert not accepts(compiler.grammar(tools), BEGIN + call("tool_0", 0) + END)
