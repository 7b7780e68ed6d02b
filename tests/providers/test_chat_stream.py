"""Replies over real HTTP: what servers are known to send, and every way in which a stream breaks."""

import json
from typing import Any

import pytest
from fake_api import FakeAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from nightly import examples

from kimi_agent.core.errors import (
    AuthError,
    BadRequestError,
    ConnectionFailed,
    ContextOverflowError,
    ProviderError,
    QuotaError,
    RateLimitError,
    ServerError,
)
from kimi_agent.core.message import Message, ToolCall, tool_message, user_message
from kimi_agent.core.provider import (
    CallChunk,
    Delta,
    Endpoint,
    Finished,
    Model,
    Prefill,
    Request,
    TextChunk,
    ThinkChunk,
    Tokens,
)
from kimi_agent.providers.chat_completions import ChatCompletions

REQUEST = Request("s", "sys", [user_message("Hi")])
MODEL = Model("m", "kimi-k2", "fake")
FULL = [
    {"think": "thinking…\u2028", "chunk": 3},
    {"text": "Grüße, 世界! 😀", "chunk": 2},
    {"call": {"name": "Shell", "arguments": {"command": "ls é"}}, "chunk": 4},
    {"call": {"name": "ReadFile", "arguments": {"path": "a"}}, "chunk": 4},
    {"tokens": {"input": 100, "output": 7, "cached": 60}},
]


def provider(api: FakeAPI, kind: str = "kimi", **options: Any) -> ChatCompletions:
    return ChatCompletions(Endpoint("fake", kind, api.url, "sk-test", **options), MODEL)


async def ask(chat: ChatCompletions, request: Request = REQUEST) -> list[Delta]:
    try:
        return [delta async for delta in chat.stream(request)]
    finally:
        await chat.aclose()


def joined(deltas: list[Delta]) -> dict[str, Any]:
    """The reply as its reader would put it together."""
    text = "".join(d.text for d in deltas if isinstance(d, TextChunk))
    thinking = "".join(d.text for d in deltas if isinstance(d, ThinkChunk))
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        if isinstance(delta, CallChunk):
            entry = calls.setdefault(delta.index, [delta.id, delta.name, ""])
            entry[2] += delta.arguments
    return {"text": text, "thinking": thinking, "calls": list(calls.values()), "tail": deltas[-1]}


EXPECTED = {
    "text": "Grüße, 世界! 😀",
    "thinking": "thinking…\u2028",
    "calls": [["Shell:0", "Shell", '{"command": "ls \\u00e9"}'], ["ReadFile:1", "ReadFile", '{"path": "a"}']],
    "tail": Finished("tool_calls"),
}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"newline": "\r\n"},
        {"newline": "\r"},
        {"write_size": 1},
        {"write_size": 7, "newline": "\r\n"},
        {"streaming": False},
        {"streaming": False, "write_size": 3},
        {"reasoning_field": "reasoning"},
        {"strict": True},
    ],
)
async def test_the_same_reply_however_it_is_sent(options: dict[str, Any]) -> None:
    async with FakeAPI([FULL], **options) as api:
        deltas = await ask(provider(api))
    assert joined(deltas) == EXPECTED
    assert Tokens(100, 7, 60) in deltas
    fields = {delta.field for delta in deltas if isinstance(delta, ThinkChunk)}
    assert fields == {options.get("reasoning_field", "reasoning_content")}


@settings(max_examples=examples(25))
@given(st.integers(1, 64), st.sampled_from(["\n", "\r\n", "\r"]))
async def test_any_write_size(size: int, newline: str) -> None:
    async with FakeAPI([FULL], write_size=size, newline=newline) as api:
        assert joined(await ask(provider(api))) == EXPECTED


async def test_our_engine_tells_how_far_the_prompt_is_read() -> None:
    told = [
        {"raw": ': kimi {"prefill":{"done":512,"total":2048,"cached":0}}\n\n'},
        {"raw": ': kimi {"prefill":{"done":"x"}}\n\n: kimi {"other":1}\n\n: kimi {"prefill":{"done":9,"total":1}}\n\n'},
        {"raw": ': kimi {"prefill":{"done":2048,"total":2048}}\n\n'},
        *FULL,
    ]
    async with FakeAPI([told]) as api:
        deltas = await ask(provider(api))
    assert [delta for delta in deltas if isinstance(delta, Prefill)] == [Prefill(512, 2048), Prefill(2048, 2048)]
    assert joined([delta for delta in deltas if not isinstance(delta, Prefill)]) == EXPECTED


def sse(**delta: Any) -> dict[str, Any]:
    return {"sse": {"choices": [{"index": 0, "delta": delta}]}}


def call_piece(
    index: int | None, call_id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    piece: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "id": call_id}
    return piece if index is None else {**piece, "index": index}


async def reply_to(items: list[dict[str, Any]], kind: str = "kimi", request: Request = REQUEST) -> list[Delta]:
    async with FakeAPI([items]) as api:
        return await ask(provider(api, kind), request)


@pytest.mark.parametrize(
    ("pieces", "calls"),
    [
        pytest.param(
            [
                call_piece(0, "a", "f", ""),
                call_piece(1, "b", "g", ""),
                call_piece(1, arguments='{"y"'),
                call_piece(0, arguments='{"x"'),
                call_piece(0, arguments=":1}"),
                call_piece(1, arguments=":2}"),
            ],
            [["a", "f", '{"x":1}'], ["b", "g", '{"y":2}']],
            id="interleaved",
        ),
        pytest.param(
            [call_piece(None, "a", "f", '{"x":'), call_piece(None, arguments="1}"), call_piece(None, "b", "g", "{}")],
            [["a", "f", '{"x":1}'], ["b", "g", "{}"]],
            id="no index",
        ),
        pytest.param(
            [call_piece(None, None, "f", '{"x":1}'), call_piece(None, None, "f", '{"x":2}')],
            [["functions.f:0", "f", '{"x":1}'], ["functions.f:1", "f", '{"x":2}']],
            id="neither index nor id",
        ),
        pytest.param(
            [call_piece(0, "a", "f", '{"x":1}'), call_piece(0, "b", "f", '{"x":2}')],
            [["a", "f", '{"x":1}'], ["b", "f", '{"x":2}']],
            id="one index for all",
        ),
        pytest.param(
            [call_piece(0, "a", "f", ""), call_piece(0, "a", "f", '{"x":'), call_piece(0, "other", None, "1}")],
            [["a", "f", '{"x":1}']],
            id="id and name repeated, id changing",
        ),
        pytest.param(
            [call_piece(0, None, "f", '{"x":1}'), call_piece(0, None, "f", '{"x":2}'), call_piece(0, None, "f", "")],
            [["functions.f:0", "f", '{"x":1}'], ["functions.f:1", "f", '{"x":2}']],
            id="one index for all, no ids",
        ),
        pytest.param(
            [call_piece(None, None, "f", ""), call_piece(None, None, "g", '{"x":2}')],
            [["functions.f:0", "f", ""], ["functions.g:1", "g", '{"x":2}']],
            id="neither index nor id, the first without arguments",
        ),
        pytest.param(
            [call_piece(0, "f:0", "f", "{}"), call_piece(1, "f:0", "f", '{"x"'), call_piece(1, None, None, ":1}")],
            [["f:0", "f", "{}"], ["f:1", "f", '{"x":1}']],
            id="duplicate ids",
        ),
        pytest.param(
            [call_piece(0, "f:0", "f", "{}"), call_piece(1, "f:0", "f", "{"), call_piece(1, None, None, "}")],
            [["f:0", "f", "{}"]],
            id="one call sent twice",
        ),
        pytest.param(
            [call_piece(3, "a", None, ""), call_piece(3, None, None, '{"x"'), call_piece(3, None, "f", ":1}")],
            [["a", "f", '{"x":1}']],
            id="arguments before the name",
        ),
        pytest.param([call_piece(0, "a", "f", {"x": 1})], [["a", "f", '{"x": 1}']], id="arguments as an object"),
        pytest.param([call_piece(0, "a", "f", None)], [["a", "f", ""]], id="no arguments"),
        pytest.param([call_piece(0, "a", None, "{}")], [["a", "", "{}"]], id="no name at all"),
        pytest.param(["junk", None, {"function": "x", "index": 0, "id": "a"}], [["a", "", ""]], id="junk"),
    ],
)
async def test_calls_find_their_pieces(pieces: list[Any], calls: list[list[str]]) -> None:
    deltas = await reply_to([sse(tool_calls=[piece]) for piece in pieces])
    assert joined(deltas)["calls"] == calls
    assert joined(await reply_to([sse(tool_calls=pieces)]))["calls"] == calls


@pytest.mark.parametrize(("kind", "fresh"), [("kimi", "Shell:1"), ("openai_legacy", "Shell:1")])
async def test_ids_of_the_history_are_not_given_again(kind: str, fresh: str) -> None:
    history = [
        user_message("Hi"),
        Message("assistant", (ToolCall("Shell:0", "Shell", "{}"),)),
        tool_message("Shell:0", "x"),
    ]
    deltas = await reply_to(
        [sse(tool_calls=[call_piece(0, "Shell:0", "Shell", "{}")])], kind, Request("s", "", history)
    )
    assert joined(deltas)["calls"][0][0] == fresh


@pytest.mark.parametrize(
    ("items", "thoughts"),
    [
        ([sse(reasoning_content="a", reasoning="a")], [ThinkChunk("a", "reasoning_content")]),
        (
            [sse(reasoning="a", reasoning_details=[{"type": "reasoning.text", "text": "a"}])],
            [ThinkChunk("a", "reasoning_details", ({"type": "reasoning.text", "text": "a"},))],
        ),
        ([sse(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}])], [ThinkChunk("a")]),
    ],
)
async def test_reasoning_fields(items: list[dict[str, Any]], thoughts: list[ThinkChunk]) -> None:
    deltas = await reply_to([*items, {"text": "x"}])
    assert [delta for delta in deltas if isinstance(delta, ThinkChunk)] == thoughts


async def test_a_signature_of_a_call_comes_back_on_it() -> None:
    piece = {**call_piece(0, "a", "f", "{}"), "extra_content": {"google": {"thought_signature": "sig"}}}
    deltas = await reply_to([sse(tool_calls=[piece])])
    details = ({"call": "a", "extra_content": {"google": {"thought_signature": "sig"}}},)
    assert ThinkChunk("", "extra_content", details) in deltas


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 4}, Tokens(9, 2, 4)),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 3}},
            Tokens(9, 5, 0, 3),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 30}},
            Tokens(9, 5, 0, 5),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}, Tokens(9, 2, 4)),
        ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, Tokens(9, 2, 4)),
        ({"prompt_tokens": 9, "completion_tokens": None, "prompt_tokens_details": None}, Tokens(9, 0, 0)),
        ({"prompt_tokens": 9, "completion_tokens": 2, "cached_tokens": 400}, Tokens(9, 2, 9)),
    ],
)
@pytest.mark.parametrize("place", ["top", "choice"])
async def test_token_counts(usage: dict[str, Any], tokens: Tokens, place: str) -> None:
    chunk = (
        {"choices": [{"index": 0, "delta": {}, "usage": usage}]}
        if place == "choice"
        else {"usage": usage, "choices": []}
    )
    assert tokens in await reply_to([{"text": "x"}, {"sse": chunk}])


async def test_oddities_are_tolerated() -> None:
    odd: list[dict[str, Any]] = [
        {"raw": ": OPENROUTER PROCESSING\n\n"},
        {"raw": 'data:{"choices":[]}\n\n'},
        {"raw": "\n\nevent: ping\ndata: ping\n\n"},
        {"sse": {"choices": None}},
        {"sse": {"choices": [None, {"index": 0, "delta": None}, {"index": 1, "delta": {"content": "second choice"}}]}},
        sse(role="assistant", content=None, tool_calls=None, reasoning_content=""),
        {"raw": 'data: {"choices":[{"index":0,\ndata: "delta":{"content":"a\x00b\tc"}}]}\n\n'},
        {"raw": 'data: {"choices":[{"index":0,"delta":{"content":"\udcff"}}]}\n\n'},
        {"finish": "made_up_reason"},
        {"raw": "data: [1, 2]\n\n"},
    ]
    deltas = await reply_to(odd)
    assert joined(deltas)["text"] == "ab\tc\ufffd"
    assert deltas[-1] == Finished("made_up_reason")


@pytest.mark.parametrize(
    ("tail", "whole"),
    [
        ("data: [DONE]\n\n", True),
        ("data: [DONE]", True),
        ("data: [DONE]\n\ntrailing garbage\n\ndata: {broken\n\n", True),
        ('data: {"choices":[{"delta":{},"finish_reason":"stop"}]}', True),
        ('data: {"choices":[{"delta":{},"finish_reason":"st', False),
        ("", False),
    ],
)
async def test_what_counts_as_the_end(tail: str, whole: bool) -> None:
    items: list[dict[str, Any]] = [{"text": "x"}, {"raw": tail}, {"end": True}]
    if whole:
        assert (await reply_to(items))[-1] == Finished("stop")
    else:
        with pytest.raises(ConnectionFailed):
            await reply_to(items)


@pytest.mark.parametrize("fault", [{"drop": True}, {"stall": 30}])
async def test_a_fault_after_the_finish_reason_costs_nothing(fault: dict[str, Any]) -> None:
    finish = {"sse": {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}}
    async with FakeAPI([[finish, fault]]) as api:
        assert (await ask(provider(api, idle_timeout=0.2)))[-1] == Finished("stop")


@pytest.mark.parametrize(
    ("items", "error"),
    [
        ([{"drop": True}], ConnectionFailed),
        ([{"text": "x"}, {"drop": True}], ConnectionFailed),
        ([{"text": "x"}, {"end": True}], ConnectionFailed),
        ([{"end": True}], ConnectionFailed),
        ([], ConnectionFailed),
        ([{"text": "x"}, {"stall": 30}], ConnectionFailed),
        ([{"stall": 30}], ConnectionFailed),
        ([{"text": "x"}, {"garbage": '{"choices": [{'}], ConnectionFailed),
        ([{"text": "x"}, {"error": {"message": "m", "type": "engine_overloaded_error"}}], ServerError),
        ([{"text": "x"}, {"error": {"message": "m", "code": 502}}], ServerError),
        ([{"text": "x"}, {"error": {"message": "recharge", "type": "exceeded_current_quota_error"}}], QuotaError),
        ([{"text": "x"}, {"error": {"message": "m", "type": "invalid_request_error"}}], BadRequestError),
        ([{"text": "x"}, {"raw": 'error: {"code": 500, "message": "m"}\n\n'}], ServerError),
        ([{"text": "x"}, {"raw": "data: Error: out of memory\n\n"}], ServerError),
        ([{"text": "x"}, {"finish": "error"}], ServerError),
        ([{"error": {"status": 429, "message": "m"}}], RateLimitError),
        ([{"error": {"status": 401, "message": "m"}}], AuthError),
        ([{"error": {"status": 503, "message": "m"}}], ServerError),
    ],
)
async def test_faults(items: list[dict[str, Any]], error: type[ProviderError]) -> None:
    async with FakeAPI([items]) as api:
        with pytest.raises(error):
            await ask(provider(api, idle_timeout=0.2, first_byte_timeout=0.2))


@pytest.mark.parametrize("reason", ["content_filter", "length"])
async def test_replies_that_may_be_empty(reason: str) -> None:
    assert await reply_to([{"finish": reason}]) == [Finished(reason)]


async def test_a_large_event() -> None:
    text = "long " * 200_000
    assert joined(await reply_to([{"text": text}]))["text"] == text


async def test_errors_carry_the_trace_and_the_wait() -> None:
    async with FakeAPI([[{"error": {"status": 429, "message": "slow down", "retry_after": 3}}]]) as api:
        with pytest.raises(RateLimitError) as caught:
            await ask(provider(api))
    assert (caught.value.retry_after, caught.value.trace, caught.value.status) == (3.0, "trace-1", 429)


async def test_a_web_page_and_a_redirect_are_told() -> None:
    async with FakeAPI(routes={"/v1/chat/completions": "<!doctype html><title>Login</title>"}) as api:
        with pytest.raises(BadRequestError, match="web page"):
            await ask(provider(api))


async def test_an_error_in_a_200() -> None:
    async with FakeAPI(routes={"/v1/chat/completions": {"error": "Unexpected endpoint or method"}}) as api:
        with pytest.raises(ServerError, match="Unexpected endpoint"):
            await ask(provider(api))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"object": "error", "message": "no model `x`", "type": "NotFoundError", "code": 404}, BadRequestError),
        ({"object": "error", "message": "this model's maximum context length is 5", "code": 400}, ContextOverflowError),
        ({"detail": "Not authenticated"}, ServerError),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_other_forms_of_an_error_in_a_200(answer: dict[str, Any], error: type[Exception], streamed: bool) -> None:
    stream = FakeAPI([[{"raw": f"data: {json.dumps(answer)}\n\n"}, {"end": True}]])
    async with stream if streamed else FakeAPI(routes={"/v1/chat/completions": answer}) as api:
        with pytest.raises(error, match=str(answer.get("message") or answer["detail"])):
            await ask(provider(api))
