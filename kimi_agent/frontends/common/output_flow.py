"""Output on its way to the screen: a few times a second, and of a flood only its end."""

import asyncio
import codecs
import time
from collections.abc import Callable

FRAME_S = 0.03
"""Seconds that output waits for more, so that it is drawn together."""
DRAW_SHARE = 3
"""A frame waits this many times what drawing the last one took: a flood costs at most a quarter of a core to draw."""
LIMIT = 256_000
"""Bytes that are handed on in one frame; what came before them is left out, which is said."""


class OutputFlow:
    """`show` gets text as it comes, not sanitised; control sequences may span two texts."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show = show
        self._data = bytearray()
        self._left_out = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._timer: asyncio.TimerHandle | None = None
        self._cost = 0.0

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * LIMIT:
            cut = len(self._data) - LIMIT
            self._left_out += cut
            del self._data[:cut]
        if self._timer is None:
            wait = max(FRAME_S, self._cost * DRAW_SHARE)
            self._timer = asyncio.get_running_loop().call_later(wait, self.flush)

    def flush(self) -> None:
        """Hand on what there is, now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._data:
            return
        text = self._decoder.decode(bytes(self._data))
        self._data.clear()
        if self._left_out:
            whole_lines = text.partition("\n")[2] or text
            text = f"\n… {self._left_out:,} bytes of output are not shown …\n{whole_lines}"
            self._left_out = 0
        began = time.monotonic()
        self.show(text)
        self._cost = time.monotonic() - began
