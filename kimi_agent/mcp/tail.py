"""The end of what a server writes to its stderr: bounded, whatever it writes."""

from kimi_agent.core.sanitize import plain, visible

KEPT = 4096
"""Bytes."""
_LINE = 300  # characters


class Tail:
    """`size` counts all bytes that came."""

    def __init__(self) -> None:
        self._held = b""
        self.size = 0

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self._held = (self._held + piece)[-KEPT:] if len(piece) < KEPT else piece[-KEPT:]

    def lines(self, most: int = 20) -> list[str]:
        """The last lines, safe for a terminal; a first one that was cut is left out."""
        lines = plain(self._held.decode("utf-8", "replace")).splitlines()
        cut = self.size > len(self._held) and len(lines) > 1
        return [visible(line)[:_LINE] for line in lines[cut:] if line.strip()][-most:]
