"""What a shell writes, taken apart: its output, our marks in it, and the switches that a full-screen program sets.

A mark holds a random number that only the shell's own functions know, so that no output can be taken for one.
"""

import os
import re
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

MARK = "7717"
"""The number of our control string (OSC), which no terminal obeys."""
_LONGEST = 16_384
"""Bytes that an unfinished mark is waited for: the longest path, four times."""
_FULL_SCREEN = frozenset({b"1049", b"1047", b"47", b"1"})
"""The alternate screen, and keys as applications read them: a pager without a screen of its own sets only those."""
_SWITCH = rb"\x1b\[\?(?P<modes>[\d;]{1,40})(?P<on>[hl])"
_BEGUN_SWITCH = re.compile(rb"\x1b(\[(\?[\d;]{0,40})?)?\Z")


class Output(Struct, frozen=True):
    data: bytes


class Began(Struct, frozen=True):
    """The command begins: what came before is the echo of its line."""


class Ended(Struct, frozen=True):
    """The command is over, and this is where the shell stands now."""

    code: int
    folder: Path


class Switch(Struct, frozen=True):
    """A full-screen program begins or ends; `data` is what it wrote to say so."""

    modes: frozenset[bytes]
    on: bool
    data: bytes


class Over(Struct, frozen=True):
    """The command has written all of its output; what comes until `Ended` is the line editor's."""


Piece: TypeAlias = Output | Began | Over | Ended | Switch


class Marks:
    """Takes the bytes in any chunks; what may be the beginning of a mark or a switch is kept for the next one."""

    def __init__(self, nonce: str) -> None:
        self._prefix = f"\x1b]{MARK};{nonce};".encode()
        mark = rb"(?P<begin>C)|(?P<over>E)|D;(?P<code>\d{1,10});(?P<folder>.*?)"
        self._pattern = re.compile(
            re.escape(self._prefix) + rb"(?:" + mark + rb");" + nonce.encode() + rb"\x07|" + _SWITCH, re.DOTALL
        )
        self._held = b""

    def feed(self, chunk: bytes) -> list[Piece]:
        data, self._held = self._held + chunk, b""
        if b"\x1b" not in data:
            return [Output(data)] if data else []
        pieces: list[Piece] = []
        end = 0
        for match in self._pattern.finditer(data):
            if (piece := _piece(match)) is not None:
                pieces += [Output(data[end : match.start()])] if match.start() > end else []
                pieces.append(piece)
                end = match.end()
        rest = data[end:]
        cut = self._unfinished(rest)
        self._held = rest[cut:]
        if cut:
            pieces.append(Output(rest[:cut]))
        return pieces

    def _unfinished(self, data: bytes) -> int:
        """Where something begins that the next chunk may finish; the length of `data` when nothing does."""
        start = data.rfind(self._prefix)
        if start >= 0 and len(data) - start < _LONGEST:
            return start
        start = data.rfind(b"\x1b")
        if start >= 0 and (self._prefix.startswith(data[start:]) or _BEGUN_SWITCH.match(data, start)):
            return start
        return len(data)


def _piece(match: re.Match[bytes]) -> Piece | None:
    if match["begin"]:
        return Began()
    if match["over"]:
        return Over()
    if match["code"]:
        folder = match["folder"].replace(b"\r\n", b"\n")  # as the terminal writes it
        return Ended(int(match["code"]), Path(os.fsdecode(folder)))
    modes = _FULL_SCREEN.intersection(match["modes"].split(b";"))
    return Switch(modes, match["on"] == b"h", match[0]) if modes else None
