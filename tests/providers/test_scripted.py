"""Scenarios play what they say, and chaos breaks replies in every way, the same way for the same seed."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.core.errors import BadRequestError, ConfigError, ConnectionFailed, ProviderError, RateLimitError
from kimi_agent.core.message import tool_message, user_message
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
from kimi_agent.providers.chaos import FAULTS, Chaos
from kimi_agent.providers.scripted import ScriptedProvider

REQUEST = Request("s", "sys", [user_message("Hi")])


async def play(provider: Provider, request: Request = REQUEST) -> list[Delta]:
    return [delta async for delta in provider.stream(request)]


async def test_every_item() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    call = {"call": {"name": "Shell", "arguments": {"a": 1}, "id": "x"}, "chunk": 4}
    raw = {"call": {"name": "Shell", "arguments": "{broken"}}
    step = [{"expect": "Hi"}, {"think": "hm"}, {"text": "abcde", "chunk": 2}, {"delay": 0.5}, call, raw]
    provider = ScriptedProvider([[*step, {"tokens": {"input": 9, "output": 2, "cached": 1}}]], sleep=sleep)
    assert await play(provider) == [
        ThinkChunk("hm", "reasoning_content"), TextChunk("ab"), TextChunk("cd"), TextChunk("e"),
        CallChunk(0, "x", "Shell"), CallChunk(0, arguments='{"a"'), CallChunk(0, arguments=": 1}"),
        CallChunk(1, "call_2", "Shell"), CallChunk(1, arguments="{broken"),
        Tokens(9, 2, 1), Finished("tool_calls"),
    ]  # fmt: skip
    assert slept == [0.5]
    assert provider.requests == [REQUEST]


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ({"drop": True}, ConnectionFailed),
        ({"end": True}, ConnectionFailed),
        ({"stall": 0}, ConnectionFailed),
        ({"garbage": "{no"}, ConnectionFailed),
        ({"expect": "something else"}, BadRequestError),
        ({"error": {"status": 429, "message": "x"}}, RateLimitError),
    ],
)
async def test_faults(item: dict[str, object], error: type[ProviderError]) -> None:
    with pytest.raises(error):
        await play(ScriptedProvider([[{"text": "x"}, item]]))


async def test_expect_reads_tool_results() -> None:
    request = Request("s", "", [tool_message("1", "the output")])
    assert await play(ScriptedProvider([[{"expect": "output"}]]), request) == [Finished("stop")]


async def test_repeats_and_the_end_of_a_scenario() -> None:
    provider = ScriptedProvider([{"repeat": 2, "steps": [[{"text": "a"}], [{"text": "b"}]]}, [{"text": "c"}]])
    said = [(await play(provider))[0] for _ in range(5)]
    assert "".join(delta.text for delta in said if isinstance(delta, TextChunk)) == "ababc"
    with pytest.raises(BadRequestError, match="request 6"):
        await play(provider)
    forever = ScriptedProvider([{"steps": [[{"text": "a"}]]}])
    assert all([(await play(forever))[0] == TextChunk("a") for _ in range(20)])


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([[{"text": "one"}], [{"text": "two"}]], indent=1),
        '[{"text": "one"}]\n\n[{"text": "two"}]\n',
        '[{"text": "one"}]\r\n[{"text": "two"}]\r\n',
        '[{"text": "one"}, {"think": "\u2028"}]\n[{"text": "two"}]',
        '{"repeat": 1, "steps": [[{"text": "one"}], [{"text": "two"}]]}\n',
    ],
)
async def test_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scenario.json"
    path.write_bytes(text.encode())
    provider = make_provider(Endpoint("s", "scripted", str(path)), Model("m", "m", "s"))
    assert [(await play(provider))[0] for _ in range(2)] == [TextChunk("one"), TextChunk("two")]


@pytest.mark.parametrize(
    "text", ["{", '{"a": 1}', "[1]", '[[{"tetx": "x"}]]', '[[{"text": "a"}], {"repeat": 2}]', "[[1]]"]
)
def test_a_wrong_file_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(text)
    with pytest.raises(ConfigError):
        make_provider(Endpoint("s", "scripted", str(path)), Model("m", "m", "s"))
    with pytest.raises(ConfigError):
        make_provider(Endpoint("s", "scripted", str(tmp_path / "none")), Model("m", "m", "s"))


@pytest.mark.parametrize(
    "item",
    [
        {"text": 3},
        {"text": "abc", "chunk": -1},
        {"delay": "x"},
        {"stall": "x"},
        {"call": "x"},
        {"call": {}},
        {"tokens": {"inputs": 1}},
        {"error": "x"},
        {"error": {"status": "429"}},
        {"expect": 3},
        {"finish": 3},
    ],
)
def test_a_wrong_value_is_told_before_anything_is_played(item: dict[str, object]) -> None:
    with pytest.raises(
        ConfigError, match=r"step 2 of the scenario has a wrong item .*: Expected|missing|unknown field"
    ):
        ScriptedProvider([[{"text": "fine"}], [item]])


def test_an_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        make_provider(Endpoint("x", "kimy"), Model("m", "m", "x"))
    assert "openai_responses" in caught.value.hint


def chaos(seed: int, rate: float) -> Chaos:
    async def sleep(seconds: float) -> None:
        return None

    step = [
        {"think": "t", "chunk": 1},
        {"text": "some text", "chunk": 2},
        {"call": {"name": "f", "arguments": {"a": 1}}},
    ]
    return Chaos(ScriptedProvider([{"steps": [step]}]), seed, rate, sleep=sleep)


async def outcomes(provider: Chaos, count: int = 12) -> list[object]:
    found: list[object] = []
    for _ in range(count):
        try:
            found.append(
                [delta for delta in await play(provider) if not isinstance(delta, CallChunk) or delta.arguments]
            )
        except ProviderError as error:
            found.append(str(error))
    return found


@given(st.integers(0, 10_000))
async def test_the_same_seed_breaks_the_same_way(seed: int) -> None:
    one, two = chaos(seed, 0.7), chaos(seed, 0.7)
    assert await outcomes(one) == await outcomes(two)
    assert one.faults == two.faults


async def test_rates() -> None:
    assert chaos(1, 0.0).faults == []
    always = chaos(1, 1.0)
    await outcomes(always, 200)
    assert set(always.faults) == set(FAULTS)
    never = chaos(1, 0.0)
    assert all(isinstance(outcome, list) for outcome in await outcomes(never))
