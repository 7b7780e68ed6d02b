"""How often something is drawn that changes all the time."""

import time

MIN_FRAME = 1 / 30
MAX_FRAME = 0.5
SHARE = 4
"""A frame waits this many times what the last one took: drawing costs at most a quarter of a core."""


class Pace:
    """Frames begin with `begin` and end with `end`. What a frame took is the work of this thread alone: a busy machine slows
    nothing down twice."""

    def __init__(self) -> None:
        self._began_at = self._spent = self._cost = 0.0

    @property
    def wait(self) -> float:
        """Seconds until the next frame is due; zero or less when it is."""
        return min(MAX_FRAME, max(MIN_FRAME, self._cost * SHARE)) - (time.monotonic() - self._began_at)

    def begin(self) -> None:
        self._began_at, self._spent = time.monotonic(), time.thread_time()

    def end(self) -> None:
        self._cost = time.thread_time() - self._spent
