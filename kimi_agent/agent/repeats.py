"""Notices a model that goes in circles: the same call with the same result again and again.

Polling is no circle: a result that differs starts the count anew. So does work: after a call that changed something, running
the same tests again is progress even when they fail in the same words.
"""

import hashlib

from kimi_agent.core.message import Text, ToolCall, ToolResult

WARN_AT = 3
STOP_AT = 10

REMINDER = (
    "[{name} has now been called {count} times with the same arguments and gave the same result each time. Repeating it "
    "changes nothing: do something else, or say what keeps you from going on. At {stop} repetitions the turn is stopped.]"
)


class RepeatGuard:
    """Counts, within one turn, identical results per identical call."""

    def __init__(self) -> None:
        self._known: set[tuple[tuple[str, str], bytes]] = set()  # every call with its result
        self._seen: dict[tuple[str, str], tuple[bytes, int]] = {}

    def count(self, call: ToolCall, result: ToolResult, *, changed_something: bool) -> int:
        """How many times in a row this call has given this result, this time included."""
        digest = hashlib.sha256()
        for part in result.content:
            digest.update((part.text if isinstance(part, Text) else part.data).encode("utf-8", "replace"))
        key, value = (call.name, call.arguments), digest.digest()
        previous, times = self._seen.get(key, (b"", 0))
        count = times + 1 if previous == value else 1
        if changed_something and (key, value) not in self._known:  # else commands that alternate would hide each other
            self._seen.clear()
        self._known.add((key, value))
        self._seen[key] = (value, count)
        return count

    @staticmethod
    def reminder(name: str, count: int) -> str:
        return REMINDER.format(name=name, count=count, stop=STOP_AT) if WARN_AT <= count < STOP_AT else ""
