"""Stop strings in a stream: what may turn out to be the beginning of one is held back until it is known."""

from collections.abc import Sequence


class StopStrings:
    def __init__(self, stops: Sequence[str]) -> None:
        self.found = False
        """One was there; nothing comes after it."""
        self._stops = stops
        self._held = ""

    def feed(self, text: str) -> str:
        """What of the text so far can be shown now."""
        if self.found:
            return ""
        if not self._stops:
            return text
        text = self._held + text
        starts = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if starts:
            self.found, self._held = True, ""
            return text[: min(starts)]
        ready = len(text) - max(_overlap(text, stop) for stop in self._stops)
        self._held = text[ready:]
        return text[:ready]

    def end(self) -> str:
        """What was held: it was none."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that `stop` begins with."""
    for size in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
