"""Asking again, and asking another model. Only requests are repeated: nothing has been executed while a reply streams."""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing

from kimi_agent.core.errors import AuthError, ConfigError, ConnectionFailed, QuotaError, RetryableError
from kimi_agent.core.provider import Delta, Finished, Model, Provider, Request, Restarted

BASE_WAIT = 0.5  # seconds before the second attempt, doubled for each further one
MAX_BACKOFF = 30.0  # seconds; only a server that asks for more is given more


class Retry:
    """Repeats a request that failed with a RetryableError, up to `attempts` in all.

    Yields `Restarted` before it waits. A `Retry-After` of more than `max_wait` seconds is not waited for: the error is
    raised at once. `sleep` (seconds) and `rng` (0..1) are injectable for tests.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        attempts: int = 5,
        max_wait: float = 600.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.provider = provider
        self._attempts, self._max_wait, self._sleep, self._rng = max(1, attempts), max_wait, sleep, rng

    @property
    def model(self) -> Model:
        return self.provider.model

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        attempt = 1
        while True:
            try:
                async with aclosing(whole(self.provider.stream(request))) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except RetryableError as error:
                wait = self._wait(attempt, error)
                if attempt >= self._attempts or wait > self._max_wait:
                    raise
                told = str(error)
            attempt += 1
            yield Restarted(attempt, wait, told)
            await self._sleep(wait)

    async def aclose(self) -> None:
        await self.provider.aclose()

    def _wait(self, attempt: int, error: RetryableError) -> float:
        """Seconds: what the server asked for and a little more, else exponential backoff of which half is random."""
        if error.retry_after is not None:
            return error.retry_after + 0.25 * self._rng()
        backoff = min(MAX_BACKOFF, BASE_WAIT * 2.0 ** (attempt - 1))
        return backoff * (0.5 + 0.5 * self._rng())


class Fallback:
    """Asks the first model; when it cannot be had (retries exhausted, out of quota, key refused), the next one.

    `Restarted.model` names the model that goes on: a change is never silent. The next request begins with the first model
    again. `model` is the one that answers, or answered last.
    """

    def __init__(self, providers: Sequence[Provider]) -> None:
        if not providers:
            raise ConfigError("a fallback needs at least one model")
        self._providers = tuple(providers)
        self._current = self._providers[0]

    @property
    def model(self) -> Model:
        return self._current.model

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        for provider, following in zip(self._providers, [*self._providers[1:], None], strict=True):
            self._current = provider
            try:
                async with aclosing(whole(provider.stream(request))) as deltas:
                    async for delta in deltas:
                        yield delta
                return
            except (RetryableError, QuotaError, AuthError) as error:
                if following is None:
                    raise
                told = str(error)
            yield Restarted(1, 0.0, told, following.model.name)

    async def aclose(self) -> None:
        for provider in self._providers:
            await provider.aclose()


async def whole(deltas: AsyncIterator[Delta]) -> AsyncGenerator[Delta, None]:
    """The deltas, with their generator closed at once when the reader stops; an end without `Finished` is an error."""
    finished = False
    try:
        async for delta in deltas:
            finished = isinstance(delta, Finished)
            yield delta
    finally:
        if (close := getattr(deltas, "aclose", None)) is not None:
            await close()
    if not finished:
        raise ConnectionFailed("The reply ended before it was whole.")
