"""Which modes a program has set on its terminal, so that a terminal that joins later can be brought to the same."""

import re

_PRIVATE = re.compile(rb"\x1b\[\?([\d;]{1,40})([hl])")
_OPEN_END = re.compile(rb"\x1b(\[(\?[\d;]{0,40})?)?\Z")
_MOMENTARY = b"2026"
"""Synchronised output: on only while one frame is drawn."""


class Modes:
    """DEC private modes: alternate screen, mouse, pasting, focus, cursor."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._rest = b""

    def follow(self, output: bytes) -> None:
        """Take what the program wrote, in pieces of any size."""
        text = self._rest + output
        for numbers, value in _PRIVATE.findall(text):
            for number in numbers.split(b";"):
                self._values.pop(number, None)  # the order is that of the last change
                self._values[number] = value
        open_end = _OPEN_END.search(text)
        self._rest = open_end[0] if open_end else b""

    def codes(self) -> bytes:
        """What brings a fresh terminal to these modes."""
        return b"".join(
            b"\x1b[?%s%s" % (number, value) for number, value in self._values.items() if number != _MOMENTARY
        )
