"""Reasoning that a server leaves inside the text: `<think>...</think>` at the very beginning of a reply."""

from collections.abc import Iterator

from kimi_agent.core.provider import Delta, TextChunk, ThinkChunk

OPEN, CLOSE = "<think>", "</think>"
FIELD = "think_tag"
"""Field of such reasoning. It is not sent back: chat templates of these models drop it from earlier messages."""


class ThinkTags:
    """Feed it the text as it comes; what cannot be told yet is held back until `flush`."""

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""
        self._began = False  # something of the reasoning was seen: blank lines before it are no part of it

    def feed(self, text: str) -> Iterator[Delta]:
        if self._state == "text":
            yield TextChunk(text)
            return
        if self._state == "after":
            yield from self._after(text)
            return
        self._held += text
        if self._state == "start":
            begin = self._held.lstrip()
            if len(begin) < len(OPEN) and OPEN.startswith(begin):
                return
            self._state = "thinking" if begin.startswith(OPEN) else "text"
            if self._state == "thinking":
                self._held = begin[len(OPEN) :]
        yield from self._thinking() if self._state == "thinking" else self.flush()

    def _thinking(self) -> Iterator[Delta]:
        thought, closed, rest = self._held.partition(CLOSE)
        if not self._began:
            thought = thought.lstrip()
            self._began = bool(thought)
        if closed:
            self._state = "after"
            self._held = ""
            if thought:
                yield ThinkChunk(thought, FIELD)
            yield from self._after(rest)
            return
        keep = next((n for n in range(len(CLOSE) - 1, 0, -1) if thought.endswith(CLOSE[:n])), 0)
        self._held = thought[len(thought) - keep :]
        if shown := thought[: len(thought) - keep]:
            yield ThinkChunk(shown, FIELD)

    def _after(self, text: str) -> Iterator[Delta]:
        """Blank lines between the reasoning and the answer belong to neither."""
        if text := text.lstrip():
            self._state = "text"
            yield TextChunk(text)

    def flush(self) -> Iterator[Delta]:
        """What was held back: the reply is over, or is known to be plain text."""
        held, self._held = self._held, ""
        if held:
            yield ThinkChunk(held, FIELD) if self._state == "thinking" else TextChunk(held)
