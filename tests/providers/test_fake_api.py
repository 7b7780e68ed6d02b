"""The fake server is a real one: an independent client reads it as OpenAI's."""

import urllib.request
from typing import Any

import openai
import pytest
from fake_api import FakeAPI

STEP = [
    {"think": "hm"},
    {"text": "Grüße", "chunk": 2},
    {"call": {"name": "Shell", "arguments": {"command": "ls"}, "id": "c1"}, "chunk": 3},
    {"tokens": {"input": 10, "output": 4}},
]
MESSAGES = [{"role": "user", "content": "Hi"}]


async def read_stream(client: openai.AsyncOpenAI) -> Any:
    options = {"include_usage": True}
    async with client.chat.completions.stream(model="m", messages=MESSAGES, stream_options=options) as stream:
        return await stream.get_final_completion()


async def test_the_openai_sdk_reads_a_stream() -> None:
    async with FakeAPI([STEP], write_size=5) as api, openai.AsyncOpenAI(api_key="sk", base_url=api.url) as client:
        completion = await read_stream(client)
    message = completion.choices[0].message
    assert message.content == "Grüße"
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"command": "ls"}'
    assert completion.choices[0].finish_reason == "tool_calls"
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 10


async def test_the_openai_sdk_reads_whole_replies_lists_and_errors() -> None:
    replies = [STEP, [{"error": {"status": 429, "message": "slow", "retry_after": 1}}], [{"expect": "nowhere"}]]
    async with FakeAPI(replies) as api, openai.AsyncOpenAI(api_key="sk", base_url=api.url, max_retries=0) as client:
        completion = await client.chat.completions.create(model="m", messages=MESSAGES)
        assert completion.choices[0].message.content == "Grüße"
        assert [model.id async for model in client.models.list()] == ["fake-model"]
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(model="m", messages=MESSAGES)
        assert caught.value.response.headers["retry-after"] == "1"
        for told in ("expected 'nowhere'", "scenario is over"):
            with pytest.raises(openai.BadRequestError, match=told):
                await client.chat.completions.create(model="m", messages=MESSAGES)
        assert len(api.requests) == 4


def test_it_works_without_a_loop_and_with_a_function() -> None:
    with FakeAPI(lambda body: [{"text": body["messages"][0]["content"] * 2}]) as api:
        request = urllib.request.Request(
            f"{api.url}/chat/completions",
            b'{"messages": [{"role": "user", "content": "ab"}]}',
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert b'"abab"' in response.read()
        assert api.requests[0].json["messages"][0]["content"] == "ab"
