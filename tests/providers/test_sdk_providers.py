"""The two providers on SDKs, against a real HTTP server that sends their APIs' events."""

import sys
from typing import Any

import pytest
from fake_api import FakeAPI
from histories import READ

from kimi_agent.core.errors import ConfigError, ConnectionFailed, ContextOverflowError, RateLimitError, ServerError
from kimi_agent.core.message import user_message
from kimi_agent.core.provider import (
    CallChunk,
    Delta,
    Endpoint,
    Finished,
    Model,
    Provider,
    Request,
    TextChunk,
    ThinkChunk,
    Tokens,
)
from kimi_agent.providers import make_provider

REQUEST = Request("session-1", "sys", [user_message("Hi")], (READ,), 100, "high")
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"


async def ask(provider: Provider, request: Request = REQUEST) -> list[Delta]:
    try:
        return [delta async for delta in provider.stream(request)]
    finally:
        await provider.aclose()


def responses(api: FakeAPI, **options: Any) -> Provider:
    return make_provider(
        Endpoint("openai", "openai_responses", api.url, "sk-test", **options), Model("m", "gpt-5", "openai")
    )


def claude(api: FakeAPI, **options: Any) -> Provider:
    url = api.url.removesuffix("/v1")
    return make_provider(
        Endpoint("claude", "anthropic", url, "sk-test", **options), Model("m", "claude-opus-9", "claude")
    )


def telling(headers: dict[str, str]) -> list[str]:
    """Headers that say what machine this is. (How often the SDK retried says nothing: it never does.)"""
    return [name for name in headers if name.startswith("x-stainless") and name != "x-stainless-retry-count"]


def response(status: str, **fields: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 50, "output_tokens": 9, "total_tokens": 59,
        "input_tokens_details": {"cached_tokens": 40}, "output_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    base = {"id": "resp_1", "object": "response", "created_at": 0, "model": "gpt-5", "output": [], "tools": []}
    return {**base, "tool_choice": "auto", "parallel_tool_calls": True, "status": status, "usage": usage, **fields}


def failed(code: str) -> dict[str, Any]:
    return {"type": "response.failed", "response": response("failed", error={"code": code, "message": "m"})}


REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I look."}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "ReadFile", "status": "completed"}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": response("in_progress")},
    {"type": "response.output_item.added", "output_index": 0, "item": {**REASONING, "summary": []}},
    {
        "type": "response.reasoning_summary_text.delta",
        "output_index": 0,
        "item_id": "rs_1",
        "summary_index": 0,
        "delta": "I look.",
    },
    {"type": "response.output_item.done", "output_index": 0, "item": {**REASONING, "encrypted_content": "secret"}},
    {
        "type": "response.output_text.delta",
        "output_index": 1,
        "content_index": 0,
        "item_id": "m",
        "delta": "Text",
        "logprobs": [],
    },
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALL, "arguments": ""}},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": '{"path":'},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": '"a"}'},
    {"type": "response.output_item.done", "output_index": 2, "item": {**CALL, "arguments": '{"path":"a"}'}},
    {"type": "response.output_item.added", "output_index": 3, "item": {**CALL, "call_id": "call_2", "arguments": ""}},
    {"type": "response.output_item.done", "output_index": 3, "item": {**CALL, "call_id": "call_2", "arguments": "{}"}},
    {"type": "response.completed", "response": response("completed")},
]


def numbered(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


async def test_responses() -> None:
    async with FakeAPI(event_streams={RESPONSES: [numbered(RESPONSE_EVENTS)]}) as api:
        deltas = await ask(responses(api))
        sent = api.all_requests[0]
    item = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "I look."}],
        "encrypted_content": "secret",
    }
    assert deltas == [
        ThinkChunk("I look.", "reasoning_item"), ThinkChunk("", "reasoning_item", (item,)), TextChunk("Text"),
        CallChunk(0, "call_1", "ReadFile"), CallChunk(0, arguments='{"path":'), CallChunk(0, arguments='"a"}'),
        CallChunk(1, "call_2", "ReadFile"), CallChunk(1, arguments="{}"),
        Tokens(50, 9, 40, 3), Finished("tool_calls"),
    ]  # fmt: skip
    assert sent.json["stream"] is True
    assert sent.json["store"] is False
    assert sent.json["include"] == ["reasoning.encrypted_content"]
    assert sent.json["prompt_cache_key"] == "session-1"
    assert sent.headers["user-agent"].startswith("kimi-agent/")
    assert telling(sent.headers) == []


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None}, RateLimitError),
        (
            {"type": "response.failed", "response": response("failed", error={"code": "server_error", "message": "m"})},
            ServerError,
        ),
        (
            {
                "type": "response.failed",
                "response": response("failed", error={"code": "context_length_exceeded", "message": "m"}),
            },
            ContextOverflowError,
        ),
        ({"type": "response.in_progress", "response": response("in_progress")}, ConnectionFailed),
    ],
)
async def test_responses_that_fail(event: dict[str, Any], error: type[Exception]) -> None:
    async with FakeAPI(event_streams={RESPONSES: [numbered([*RESPONSE_EVENTS[:5], event])]}) as api:
        with pytest.raises(error):
            await ask(responses(api))


async def test_a_response_cut_at_the_limit() -> None:
    event = {
        "type": "response.incomplete",
        "response": response("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    }
    async with FakeAPI(event_streams={RESPONSES: [numbered([event])]}) as api:
        assert (await ask(responses(api)))[-1] == Finished("length")


MESSAGE = {
    "id": "msg_1", "type": "message", "role": "assistant", "model": "c", "content": [], "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 80, "cache_creation_input_tokens": 5},
}  # fmt: skip
TOOL_USE = {"type": "tool_use", "id": "tu_1", "name": "ReadFile", "input": {}}
CLAUDE_EVENTS: list[dict[str, Any]] = [
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "ping"},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "I look."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Text"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "tu_1", "name": "ReadFile", "input": {}},
    },
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": '{"path": "a"}'}},
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 33},
    },
    {"type": "message_stop"},
]


async def test_anthropic() -> None:
    async with FakeAPI(event_streams={MESSAGES: [CLAUDE_EVENTS]}) as api:
        deltas = await ask(claude(api))
        sent = api.all_requests[0]
    block = {"type": "thinking", "thinking": "I look.", "signature": "sig"}
    assert deltas == [
        ThinkChunk("I look.", "thinking"), ThinkChunk("", "thinking", (block,)), TextChunk("Text"),
        CallChunk(0, "tu_1", "ReadFile"), CallChunk(0, arguments='{"path": "a"}'),
        Tokens(95, 33, 80), Finished("tool_calls"),
    ]  # fmt: skip
    assert sent.headers.get("x-api-key") == "sk-test" or sent.headers["authorization"] == "Bearer sk-test"
    assert sent.headers["user-agent"].startswith("kimi-agent/")
    assert telling(sent.headers) == []
    assert sent.json["thinking"] == {"type": "adaptive"}
    assert sent.json["system"][0]["cache_control"] == {"type": "ephemeral"}


async def test_openais_variables_are_not_told_to_other_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-secret")
    async with FakeAPI(event_streams={RESPONSES: [numbered(RESPONSE_EVENTS)]}) as api:
        await ask(responses(api))
    assert b"secret" not in api.all_requests[0].head


@pytest.mark.parametrize("kind", ["openai_responses", "anthropic"])
async def test_an_unusable_address_is_a_config_error(kind: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        await ask(make_provider(Endpoint("x", kind, "http://[::1/v1", "k"), Model("m", "m", "x")))


async def test_anthropics_address_may_end_with_its_version() -> None:
    async with FakeAPI(event_streams={MESSAGES: [CLAUDE_EVENTS]}) as api:
        endpoint = Endpoint("claude", "anthropic", api.url, "k")
        await ask(make_provider(endpoint, Model("m", "m", "claude")))
    assert [request.path for request in api.all_requests] == [MESSAGES]


@pytest.mark.parametrize("make", [responses, claude])
@pytest.mark.parametrize("kept", [0, 3])
async def test_a_stream_that_breaks_off(make: Any, kept: int) -> None:
    streams = {RESPONSES: [numbered(RESPONSE_EVENTS)[:kept]], MESSAGES: [CLAUDE_EVENTS[:kept]]}
    async with FakeAPI(event_streams=streams) as api:
        with pytest.raises(ConnectionFailed):
            await ask(make(api))


async def test_an_error_inside_claudes_stream() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    async with FakeAPI(event_streams={MESSAGES: [[*CLAUDE_EVENTS[:4], error]]}) as api:
        with pytest.raises(ServerError, match="overloaded"):
            await ask(claude(api))


@pytest.mark.parametrize("make", [responses, claude])
async def test_errors_of_http_are_told_apart(make: Any) -> None:
    error = {"status": 429, "message": "slow down", "type": "rate_limit_error", "retry_after": 9}
    async with FakeAPI(failures={RESPONSES: error, MESSAGES: error}) as api:
        with pytest.raises(RateLimitError) as caught:
            await ask(make(api))
        assert len(api.all_requests) == 1  # the SDK does not retry behind our back
    assert caught.value.retry_after == 9.0
    assert caught.value.trace == "trace-1"
    with pytest.raises(ConnectionFailed):
        await ask(make(api))


async def test_the_missing_extra_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(ConfigError) as caught:
        make_provider(Endpoint("c", "anthropic", ""), Model("m", "claude", "c"))
    assert "pip install" in caught.value.hint
