"""Texts that an answer may copy from, for an engine that guesses ahead: the files that the conversation has seen.

The model has them with line numbers; in the arguments of an edit they stand without. They cost no context: the engine only looks
in them for what may come next.
"""

import re
from collections import deque

from kimi_agent.core.message import Message, Text

NUMBER = re.compile(r"^ *\d+\t", re.MULTILINE)
MAX_CHARS = 200_000
MAX_TEXTS = 16


class Drafts:
    """Fed message by message; `texts` are the newest files, within the limits."""

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._chars = 0

    @property
    def texts(self) -> list[str]:
        return list(self._texts)

    def see(self, message: Message) -> None:
        result = message.result
        if result is None or result.is_error:
            return
        for part in result.content:
            if isinstance(part, Text) and (text := numbered(part.text)):
                self._keep(text)

    def _keep(self, text: str) -> None:
        if text in self._texts or len(text) > MAX_CHARS:
            return
        self._texts.append(text)
        self._chars += len(text)
        while self._chars > MAX_CHARS or len(self._texts) > MAX_TEXTS:
            self._chars -= len(self._texts.popleft())


def numbered(text: str) -> str:
    """The lines of `text` that have a number before them, without it; empty where there are none."""
    return "".join(NUMBER.sub("", line) for line in text.splitlines(keepends=True) if NUMBER.match(line))
