"""Who holds which block of the cache: numbers alone, no tensors. Stdlib only."""

from collections import OrderedDict
from collections.abc import Iterable

PLACES = 16
"""Places of the pool that are looked at for the start of a new sequence."""


class BlockPool:
    """`count` blocks, each in one state: used (`refs` > 0), cached (nobody uses it, its content is worth keeping) or free.

    Cached blocks come back by `retain`, or are given up by `forget`, the least recently used first (`oldest`).
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.refs = [0] * count
        self._kept = bytearray(count)
        self._free = set(range(count))
        self._cached: OrderedDict[int, None] = OrderedDict()
        bits = PLACES.bit_length() - 1
        self._places = [count * int(f"{n:0{bits}b}"[::-1], 2) // PLACES for n in range(PLACES)]

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def cached(self) -> int:
        return len(self._cached)

    @property
    def used(self) -> int:
        return self.count - self.free - self.cached

    def take(self, after: int | None, wanted: int = 1) -> int:
        """A free block, with one reference. Raises KeyError where none is free.

        The one behind `after` where it is free, so that a sequence lies in one piece and is read without being gathered; without
        `after`, one with room for `wanted` blocks behind it where there is such a place.
        """
        block = self._start(wanted) if after is None else after + 1
        if block in self._free:
            self._free.remove(block)
        else:
            block = self._free.pop()
        self.refs[block] = 1
        return block

    def _start(self, wanted: int) -> int:
        best, most = -1, 0
        for place in self._places:
            room = 0
            while room < wanted and place + room in self._free:
                room += 1
            if room > most:
                best, most = place, room
            if room == wanted:
                break
        return best

    def retain(self, block: int) -> None:
        """One more user of a used or cached block."""
        if self.refs[block] == 0:
            del self._cached[block]
        self.refs[block] += 1

    def release(self, blocks: Iterable[int]) -> None:
        """One user fewer of each. Those released first are given up first."""
        for block in blocks:
            self.refs[block] -= 1
            if self.refs[block] > 0:
                continue
            if self._kept[block]:
                self._cached[block] = None
            else:
                self._free.add(block)

    def keep(self, block: int) -> None:
        """The content of this used block is worth keeping when nobody uses it any more."""
        self._kept[block] = 1

    def forget(self, block: int) -> None:
        """The content of this block is worth nothing any more: free at once where nobody uses it."""
        self._kept[block] = 0
        if block in self._cached:
            del self._cached[block]
            self._free.add(block)

    def oldest(self) -> int:
        """The cached block that nobody has used for longest. Raises StopIteration where there is none."""
        return next(iter(self._cached))
