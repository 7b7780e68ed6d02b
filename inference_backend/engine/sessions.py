"""What stays of a conversation between its requests: while a tool runs, nothing of its prefix is given up. Stdlib only."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from inference_backend.engine.prefix import PrefixCache


@dataclass(frozen=True, slots=True)
class Session:
    """`tokens` have their latents in `blocks`, of which each has one reference by the session."""

    key: str
    tokens: Sequence[int]
    blocks: Sequence[int]
    until: float


class Sessions:
    """Pinned sessions, the longest unused first. A pin ends with the next pin of its key, its time, `release`, or need."""

    def __init__(self, cache: PrefixCache, seconds: float, most: int) -> None:
        self._cache, self._seconds, self._most = cache, seconds, most
        self._held: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: str) -> Session | None:
        return self._held.get(key)

    def pin(self, key: str, tokens: Sequence[int], blocks: Sequence[int], now: float) -> None:
        """Takes over the caller's references."""
        self.release(key)
        if self._seconds <= 0 or self._most <= 0:
            self._cache.pool.release(reversed(blocks))
            return
        self._held[key] = Session(key, tokens, blocks, now + self._seconds)
        if len(self._held) > self._most:
            self.release_oldest()

    def release(self, key: str) -> None:
        """From now on its blocks are given up like others', the last ones first."""
        session = self._held.pop(key, None)
        if session is not None:
            self._cache.pool.release(reversed(session.blocks))

    def release_oldest(self) -> bool:
        """False where nothing is pinned."""
        if not self._held:
            return False
        self.release(next(iter(self._held)))
        return True

    def expire(self, now: float) -> None:
        """Pins have all the same length, so that the oldest ends first."""
        while self._held and next(iter(self._held.values())).until <= now:
            self.release_oldest()
