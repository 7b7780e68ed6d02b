"""Retries wait as long as they should, fallbacks are announced, and nothing else is ever asked twice."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

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
from kimi_agent.core.message import user_message
from kimi_agent.core.provider import Delta, Finished, Model, Request, Restarted, TextChunk
from kimi_agent.providers.chaos import Chaos
from kimi_agent.providers.retry import Fallback, Retry
from kimi_agent.providers.scripted import ScriptedProvider

REQUEST = Request("s", "sys", [user_message("Hi")])
OVERLOAD = [{"text": "half"}, {"error": {"status": 503}}]
QUOTA = [{"error": {"status": 429, "type": "exceeded_current_quota_error", "message": "recharge"}}]
GOOD = [{"text": "whole"}]


class Sleep:
    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


class Raises:
    """A provider that fails with the given error, always."""

    def __init__(self, error: ProviderError) -> None:
        self.model, self.error, self.asked = Model("m", "m", "p"), error, 0

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.asked += 1
        raise self.error
        yield  # makes this a generator

    async def aclose(self) -> None:
        return None


async def collect(deltas: AsyncIterator[Delta]) -> list[Delta]:
    return [delta async for delta in deltas]


def retry(steps: Sequence[Any], sleep: Sleep, **options: Any) -> Retry:
    return Retry(ScriptedProvider(steps), sleep=sleep, rng=lambda: 1.0, **options)


async def test_a_failed_request_is_made_again_after_an_announcement() -> None:
    sleep = Sleep()
    deltas = await collect(retry([OVERLOAD, OVERLOAD, GOOD], sleep).stream(REQUEST))
    restarts = [delta for delta in deltas if isinstance(delta, Restarted)]
    assert [restart.attempt for restart in restarts] == [2, 3]
    assert [restart.wait_s for restart in restarts] == sleep.waits == [0.5, 1.0]
    assert deltas[-2:] == [TextChunk("whole"), Finished("stop")]


async def test_the_announcement_comes_before_the_wait() -> None:
    sleep = Sleep()
    stream = retry([OVERLOAD, GOOD], sleep).stream(REQUEST)
    async for delta in stream:
        if isinstance(delta, Restarted):
            assert not sleep.waits
            break
    await stream.aclose()  # type: ignore[attr-defined]


async def test_attempts_are_bounded() -> None:
    sleep = Sleep()
    with pytest.raises(ServerError):
        await collect(retry([{"repeat": None, "steps": [OVERLOAD]}], sleep, attempts=3).stream(REQUEST))
    assert len(sleep.waits) == 2


async def test_backoff_is_capped_and_jittered() -> None:
    sleep = Sleep()
    provider = Retry(ScriptedProvider([{"repeat": 12, "steps": [OVERLOAD]}]), attempts=12, sleep=sleep, rng=lambda: 0.0)
    with pytest.raises(ServerError):
        await collect(provider.stream(REQUEST))
    assert sleep.waits == sorted(sleep.waits)
    assert max(sleep.waits) == 15.0  # half of the cap when the dice say 0


async def test_what_the_server_asks_for_is_waited() -> None:
    sleep = Sleep()
    slow = [{"error": {"status": 429, "message": "x", "retry_after": 42}}]
    await collect(retry([slow, GOOD], sleep).stream(REQUEST))
    assert 42.0 <= sleep.waits[0] <= 42.25


async def test_a_wait_longer_than_allowed_is_an_error_at_once() -> None:
    sleep = Sleep()
    slow = [{"error": {"status": 429, "message": "x", "retry_after": 3601}}]
    with pytest.raises(RateLimitError):
        await collect(retry([slow, GOOD], sleep).stream(REQUEST))
    assert not sleep.waits


@pytest.mark.parametrize("kind", [QuotaError, AuthError, BadRequestError, ContextOverflowError])
async def test_what_cannot_be_helped_is_asked_once(kind: type[ProviderError]) -> None:
    provider, sleep = Raises(kind("no")), Sleep()
    with pytest.raises(kind):
        await collect(Retry(provider, sleep=sleep).stream(REQUEST))
    assert provider.asked == 1
    assert not sleep.waits


async def test_the_next_model_is_named() -> None:
    first = ScriptedProvider([QUOTA, GOOD], model=Model("big", "big", "p"))
    second = ScriptedProvider([[{"text": "from the second"}]], model=Model("small", "small", "p"))
    chain = Fallback([first, second])
    deltas = await collect(chain.stream(REQUEST))
    assert [delta.model for delta in deltas if isinstance(delta, Restarted)] == ["small"]
    assert deltas[-2] == TextChunk("from the second")
    assert chain.model.name == "small"
    assert (await collect(chain.stream(REQUEST)))[0] == TextChunk("whole")
    assert chain.model.name == "big"


async def test_a_chain_of_retries_goes_on_only_when_they_are_used_up() -> None:
    sleep = Sleep()
    first = retry([{"repeat": None, "steps": [OVERLOAD]}], sleep, attempts=3)
    second = retry([OVERLOAD, GOOD], sleep, attempts=3)
    deltas = await collect(Fallback([first, second]).stream(REQUEST))
    assert [(d.attempt, bool(d.model)) for d in deltas if isinstance(d, Restarted)] == [
        (2, False), (3, False), (1, True), (2, False)
    ]  # fmt: skip
    assert deltas[-2] == TextChunk("whole")


@pytest.mark.parametrize("error", [BadRequestError("no"), ContextOverflowError("no")])
async def test_a_bad_request_is_not_given_to_another_model(error: ProviderError) -> None:
    second = ScriptedProvider([GOOD])
    with pytest.raises(type(error)):
        await collect(Fallback([Raises(error), second]).stream(REQUEST))
    assert not second.requests


async def test_the_last_error_is_raised() -> None:
    with pytest.raises(QuotaError):
        await collect(Fallback([ScriptedProvider([OVERLOAD]), ScriptedProvider([QUOTA])]).stream(REQUEST))


class Watched:
    """A provider that notes whether its stream was closed."""

    def __init__(self) -> None:
        self.model, self.closed = Model("m", "m", "p"), False

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        try:
            for _ in range(10):
                yield TextChunk("x")
        finally:
            self.closed = True

    async def aclose(self) -> None:
        return None


@pytest.mark.parametrize("wrap", [Retry, lambda inner: Fallback([inner]), lambda inner: Chaos(inner, 0, 0.0)])
async def test_a_reader_that_stops_closes_the_stream_below(wrap: Any) -> None:
    provider = Watched()
    stream = wrap(provider).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert provider.closed


async def test_a_stream_that_ends_without_a_finish_is_asked_again() -> None:
    sleep = Sleep()
    with pytest.raises(ConnectionFailed, match="whole"):
        await collect(Retry(Watched(), attempts=3, sleep=sleep).stream(REQUEST))
    assert len(sleep.waits) == 2
