"""The parser of a reply: what well-formed streams mean, how known slips are taken, and that nothing breaks it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_chat_house import reply, tiny_tokenizer, tokens_of
from nightly import examples

from inference_backend.chat.json_prefix import MAX_DEPTH, JsonPrefix
from inference_backend.chat.parser import CallArguments, CallStarted, ContentText, ReasoningText, StreamParser
from inference_backend.chat.tool_ids import ToolIds, function_name

TOKENIZER = tiny_tokenizer()
SPECIAL = TOKENIZER.special
BEGIN, CALL, ARGUMENTS, CALL_END, END = (
    f"<|tool_{name}|>"
    for name in ("calls_section_begin", "call_begin", "call_argument_begin", "call_end", "calls_section_end")
)


def call(name="functions.Read:0", arguments='{"path": "a"}'):
    return f"{CALL}{name}{ARGUMENTS}{arguments}{CALL_END}"


def parse(text_or_ids, **settings_):
    parser = StreamParser(TOKENIZER, **{"names": ["Read", "List"], **settings_})
    ids = tokens_of(text_or_ids, TOKENIZER) if isinstance(text_or_ids, str) else text_or_ids
    return reply([piece for token in ids for piece in parser.feed(token)] + parser.end()), parser


def told(name="Read", index=0, arguments='{"path": "a"}'):
    return {"id": f"functions.{name}:{index}", "name": name, "arguments": arguments}


@pytest.mark.parametrize(
    ("text", "reasoning", "content", "calls"),
    [
        ("hello", "", "hello", []),
        ("", "", "", []),
        ("<think>so</think> hello ", "so", " hello ", []),
        ("<think></think>hello", "", "hello", []),
        ("<think>never closed", "never closed", "", []),
        (f"hi{BEGIN}{call()}{END}", "", "hi", [told()]),
        (f"{BEGIN}{call()}{call('functions.List:1', '{}')}{END}", "", "", [told(), told("List", 1, "{}")]),
        # slips
        (f"<think>so{BEGIN}{call()}{END}", "so", "", [told()]),
        (f"<think>so{BEGIN}{call()}{END}then", "so", "then", [told()]),
        (f"hi{call()}", "", "hi", [told()]),
        (f"<think>so{call()}{END}", "so", "", [told()]),
        (f"hi<|tool_call_section_begin|>{call()}<|tool_call_section_end|>", "", "hi", [told()]),
        (f"hi<|tool_call_section_begin|>\n{call()}<|tool_call_section_end|>more", "", "himore", [told()]),
        (f"{BEGIN}\n{call()}\n{END}\nmore", "", "\nmore", [told()]),
        (f"{BEGIN}{call()}and{call()}{END}", "", "and", [told(), told(index=1)]),
        (f"{BEGIN}functions.Read:0{ARGUMENTS}{{}}{CALL_END}{END}", "", "", [told(arguments="{}")]),
        (f"{BEGIN}{CALL}functions.Read:0{{}}{CALL_END}{END}", "", "", [told(arguments="{}")]),
        (f"{BEGIN}{CALL}functions.Read:0{CALL_END}{END}x", "", "x", []),
        (f"{BEGIN}{CALL}functions.Read:0{ARGUMENTS}{CALL_END}{END}", "", "", [told(arguments="{}")]),
        (f"a{END}b{CALL_END}c{ARGUMENTS}d</think>e", "", "abcde", []),
        ("a<|media_pad|>b<|reserved_token_400|>c", "", "abc", []),
        ("a<think>b</think>c<think>d", "bd", "ac", []),
        ("a<|im_end|>b", "", "a", []),
        ("a<|im_user|>user<|im_middle|>b", "", "a", []),
        (f"{BEGIN}{call()}{END}<|im_end|>{BEGIN}{call()}{END}", "", "", [told()]),
        # ids
        (f"{BEGIN}{call('Read')}{call('call_7')}{call(' functions_Read_0 ')}{END}", "", "", None),
    ],
)
def test_what_a_stream_means(text, reasoning, content, calls):
    made, parser = parse(text)
    assert (made["reasoning"], made["content"]) == (reasoning, content)
    if calls is not None:
        assert made["calls"] == calls
    assert all(made["complete"])
    assert not parser.unfinished
    assert parser.finish_reason("stop") == ("tool_calls" if made["calls"] else "stop")
    assert parser.finish_reason("length") == "length"


def test_foreign_ids_become_canonical_and_count_on():
    made, parser = parse(
        f"{BEGIN}{call('Read')}{call('functions.List:99', '{}')}{call('call_7', '{}')}{END}", next_tool_index=5
    )
    assert [one["id"] for one in made["calls"]] == ["functions.Read:5", "functions.List:6", "functions.unknown:7"]
    assert len(parser.notes) == 3


def test_an_id_without_a_name_means_the_only_tool():
    made, _ = parse(f"{BEGIN}{call('0')}{END}", names=["Read"])
    assert made["calls"][0]["id"] == "functions.Read:0"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("functions.Read:0", "Read"),
        ("functions.a.b:c:3", "a.b:c"),
        ("Read", "Read"),
        (" Read:3\n", "Read"),
        ("functions_Read_0", "Read"),
        ("functions.Reader:0", "Reader"),
        ("call_2", None),
        ("17", None),
        ("functions.:0", None),
        ("", None),
    ],
)
def test_the_name_in_an_id(written, name):
    assert function_name(written, ["Read", "List"]) == name


def test_spelt_markers_never_start_a_call():
    text = f"{BEGIN}{call()}{END} <think> <|im_end|>"
    made, _ = parse(TOKENIZER.encode(text))
    assert made["content"] == text
    assert made["calls"] == []


def test_spelt_markers_in_arguments_are_arguments():
    quoted = json.dumps({"content": f"x{CALL_END}{END}<|tool_call_section_begin|>"})
    ids = [*tokens_of(f"{BEGIN}{CALL}functions.Read:0{ARGUMENTS}", TOKENIZER), *TOKENIZER.encode(quoted)]
    made, _ = parse([*ids, SPECIAL[CALL_END], SPECIAL[END]])
    assert made["calls"] == [told(arguments=quoted)]


def test_half_characters_wait():
    parser = StreamParser(TOKENIZER)
    assert [parser.feed(byte) for byte in "é".encode()] == [[], [ContentText("é")]]
    assert parser.feed("北".encode()[0]) == []
    assert parser.feed(SPECIAL["<think>"]) == [ContentText("\ufffd")]
    assert [parser.feed(byte) for byte in "😀".encode()] == [[], [], [], [ReasoningText("😀")]]
    assert parser.feed(0xE5) == []
    assert parser.end() == [ReasoningText("\ufffd")]


def test_text_and_arguments_come_at_once():
    parser = StreamParser(TOKENIZER, names=["Read"])
    (x,) = TOKENIZER.encode("x")
    assert parser.feed(x) == [ContentText("x")]
    for token in tokens_of(f'{BEGIN}{CALL}functions.Read:0{ARGUMENTS}{{"path": "', TOKENIZER):
        pieces = parser.feed(token)
        if token == SPECIAL[ARGUMENTS]:
            assert pieces == [CallStarted(0, "functions.Read:0", "Read")]
    assert parser.feed(x) == [CallArguments(0, "x")]


@pytest.mark.parametrize(
    ("arguments", "closed", "complete"),
    [
        ('{"path": "a"', '{"path": "a"}', False),
        ('{"path": "a', '{"path": "a"}', False),
        ('{"path": "a\\', '{"path": "a"}', False),
        ('{"path": "a\\u12', '{"path": "a"}', False),
        ('{"path": ', "{}", False),
        ('{"a": 1, "b', '{"a": 1}', False),
        ('{"a": 1, ', '{"a": 1}', False),
        ('{"a": [1, {"b": [tru', '{"a": [1, {"b": []}]}', False),
        ('{"a": -', "{}", False),
        ("{", "{}", False),
        ("", "{}", False),
        ("[1]", "{}", False),
        ('"text"', "{}", False),
        ('{"a": 1,}', '{"a": 1}', False),
        ('{"a": 01}', "{}", False),
        ('{"a": NaN}', "{}", False),
        ("{'a': 1}", "{}", False),
        ('{"a" 1}', "{}", False),
        ('{"a": [1}', '{"a": [1]}', False),
        ('{"a": 1}', '{"a": 1}', True),
        (' {"a": 1} ', '{"a": 1}', True),
        ('{"a": 1}}', '{"a": 1}', True),
        ('{"a": "x\ny\t\x00"}', '{"a": "x\\ny\\t\\u0000"}', True),
        ('{"a": "\\d+\\u00zz\\x"}', '{"a": "\\\\d+\\\\u00zz\\\\x"}', True),
        ('{"a": "\\"}', '{"a": "\\"}"}', False),
    ],
)
def test_calls_cut_off_or_broken_are_closed_and_said(arguments, closed, complete):
    made, parser = parse(f"{BEGIN}{CALL}functions.Read:0{ARGUMENTS}{arguments}")
    assert made["calls"] == [told(arguments=closed)]
    assert made["complete"] == [complete]
    assert parser.unfinished is not complete
    assert parser.finish_reason("stop") == ("tool_calls" if complete else "length")
    ended, _ = parse(f"{BEGIN}{CALL}functions.Read:0{ARGUMENTS}{arguments}{CALL_END}{END}")
    assert ended["calls"] == made["calls"]
    assert ended["complete"] == [complete or not arguments]


def test_depth_is_bounded():
    made, _ = parse(BEGIN + call(arguments='{"a":' + "[" * 100_000) + END)
    assert made["complete"] == [False]
    assert made["calls"][0]["arguments"].count("[") == MAX_DEPTH - 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4), st.booleans(), st.sampled_from([None, 1]), st.data())
def test_json_passes_unchanged_and_every_prefix_can_be_closed(value, ascii_, indent, data):
    text = json.dumps(value, ensure_ascii=ascii_, indent=indent)
    whole = JsonPrefix()
    assert json.loads(whole.feed(text)) == value
    assert whole.is_whole
    assert not whole.mended
    cut = data.draw(st.integers(0, len(text)))
    part = JsonPrefix()
    out = part.feed(text[:cut])
    assert isinstance(json.loads(out + part.closing()), dict)


@given(st.text(st.sampled_from('{}[]",:\\u0a1-e.tfn \n'), max_size=40) | st.text(max_size=20))
def test_any_text_can_be_closed(text):
    at_once, stepwise = JsonPrefix(), JsonPrefix()
    out = at_once.feed(text)
    assert isinstance(json.loads(out + at_once.closing()), dict)
    assert out == "".join(map(stepwise.feed, text))


ANY_TOKEN = st.one_of(
    st.integers(-2, TOKENIZER.vocab_size + 2),
    st.sampled_from([SPECIAL[name] for name in (BEGIN, CALL, ARGUMENTS, CALL_END, END, "<think>", "</think>")]),
    st.sampled_from(TOKENIZER.encode('{"path": "a"}functions.Read:0<|_section')),
)


@settings(max_examples=examples(200))
@given(st.lists(ANY_TOKEN, max_size=60), st.booleans())
def test_any_tokens_make_a_well_formed_reply(ids, in_think):
    made, parser = parse(ids, in_think=in_think, next_tool_index=2)
    assert [one["id"] for one in made["calls"]] == [
        f"functions.{one['name']}:{n}" for n, one in enumerate(made["calls"], 2)
    ]
    assert len(made["complete"]) == len(made["calls"])
    assert parser.unfinished == (not all(made["complete"]))
    json.dumps(made).encode()
    assert parser.feed(65) == parser.end() == []


STREAM = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "text ",
            "北京é😀",
            "<|tool_call_section_begin|>",
            "<|tool_call_",
            "<",
            " \n",
            BEGIN,
            END,
            call(),
            call("functions.List:1", '{"k": ["\\u00e9\\n", 1.5e3]}'),
            call("x", "{bad"),
        ]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=examples(150))
@given(STREAM, st.data())
def test_any_split_into_tokens_means_the_same(text, data):
    ids = tokens_of(text, TOKENIZER)
    bytewise = [
        part for token in ids for part in ([token] if TOKENIZER.is_special(token) else TOKENIZER.token_bytes(token))
    ]
    expected, _ = parse(ids)
    assert parse(bytewise)[0] == expected
    some = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    mixed = [
        part
        for token, split in zip(ids, some, strict=True)
        for part in (TOKENIZER.token_bytes(token) if split and not TOKENIZER.is_special(token) else [token])
    ]
    assert parse(mixed)[0] == expected


def test_renumbering_of_a_history():
    ids = ToolIds()
    assert [ids.call("call_a", "Read"), ids.call("call_b", "List")] == ["functions.Read:0", "functions.List:1"]
    assert ids.result("call_b") == "functions.List:1"
    assert ids.call("call_a", "Read") == "functions.Read:2"  # an id used again
    assert ids.result("call_a") == "functions.Read:2"
    assert ids.result("gone") is None
    assert ids.next_index == 3
    assert ids.original == {"functions.Read:0": "call_a", "functions.List:1": "call_b", "functions.Read:2": "call_a"}


@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), max_size=6))
def test_canonical_ids_stay_as_they_are(calls):
    ids = ToolIds()
    once = [ids.call(f"{n}{client}", name) for n, (client, name) in enumerate(calls)]
    again = ToolIds()
    assert [again.call(one, name) for one, (_, name) in zip(once, calls, strict=True)] == once
    assert all(again.result(one) == one for one in once)
