"""Any provider, made unreliable on purpose and reproducibly: what must hold with it holds with real servers."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from kimi_agent.core.errors import ConnectionFailed
from kimi_agent.core.provider import CallChunk, Delta, Endpoint, Finished, Model, Provider, Request
from kimi_agent.providers.failures import Failure, to_error
from kimi_agent.providers.retry import whole

STATUSES = (429, 500, 502, 503, 529)
GARBAGE = ('{"path": ', "}{", "\u0000", '"', "[1, 2", "null", "\ud83d")
FAULTS = ("drop", "stall", "status", "garbage", "duplicate", "cut")


class Chaos:
    """Wraps `provider`; a reply goes wrong with probability `rate`, at a random place. The same seed, the same faults.

    drop, cut: the connection is lost, or the stream ends early; stall: nothing comes for `stall` seconds and it fails;
    status: an HTTP error (429 with a `Retry-After` of 0, 5xx); garbage: arguments of a call get rubbish; duplicate: a call
    comes twice with the same id.
    """

    def __init__(
        self,
        provider: Provider,
        seed: int = 0,
        rate: float = 0.3,
        *,
        stall: float = 0.2,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.provider = provider
        self.faults: list[str] = []  # those that happened, in order
        self._random, self._rate, self._stall, self._sleep = random.Random(seed), rate, stall, sleep

    @property
    def model(self) -> Model:
        return self.provider.model

    async def aclose(self) -> None:
        await self.provider.aclose()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        fault = self._random.choice(FAULTS) if self._random.random() < self._rate else ""
        place = self._random.randrange(8)
        if fault:
            self.faults.append(fault)
        if fault == "status":
            status = self._random.choice(STATUSES)
            headers = {"retry-after": "0"} if status == 429 else {}
            raise to_error(Failure(status, "", "chaos", "", headers), Endpoint("chaos", "chaos"))
        seen: list[CallChunk] = []
        count = 0
        async with aclosing(whole(self.provider.stream(request))) as deltas:
            async for delta in deltas:
                if fault in ("drop", "stall", "cut") and (count == place or isinstance(delta, Finished)):
                    await self._break(fault)
                count += 1
                if isinstance(delta, CallChunk):
                    seen.append(delta)
                    if fault == "garbage" and delta.arguments:
                        delta = CallChunk(delta.index, delta.id, delta.name, self._spoil(delta.arguments))
                if fault == "duplicate" and isinstance(delta, Finished):
                    for chunk in _again(seen):
                        yield chunk
                yield delta

    async def _break(self, fault: str) -> None:
        if fault == "stall":
            await self._sleep(self._stall)
        raise ConnectionFailed(f"chaos: {fault}")

    def _spoil(self, arguments: str) -> str:
        place = self._random.randrange(len(arguments) + 1)
        return arguments[:place] + self._random.choice(GARBAGE)


def _again(chunks: list[CallChunk]) -> list[CallChunk]:
    """The first call once more, at an index of its own but with its old id."""
    first = min((chunk.index for chunk in chunks), default=0)
    free = max((chunk.index for chunk in chunks), default=0) + 1
    return [CallChunk(free, c.id, c.name, c.arguments) for c in chunks if c.index == first]
