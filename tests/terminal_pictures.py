"""What a terminal that draws pictures makes of the bytes it gets: decoders of their own, which share nothing with the program."""

import base64
import io
import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

_BEGUN = re.compile(rb"\x1b[P_]|\x1b\]1337;")
_WHOLE = re.compile(rb"\x1b_(?P<apc>[^\x1b]*)\x1b\\|\x1bP(?P<dcs>[^\x1b]*)\x1b\\|\x1b\]1337;(?P<osc>[^\x07]*)\x07")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


@dataclass
class Pictures:
    """Takes the pictures out of a stream of bytes. `kitty` holds what is stored by number, with its keys; 0 is what has none."""

    kitty: dict[int, tuple[dict[str, str], Image.Image]] = field(default_factory=dict)
    deleted: list[int] = field(default_factory=list)
    iterm2: list[tuple[dict[str, str], Image.Image]] = field(default_factory=list)
    sixel: list[Image.Image] = field(default_factory=list)
    sent: int = 0
    _rest: bytes = b""
    _keys: dict[str, str] = field(default_factory=dict)
    _data: str = ""

    def take(self, data: bytes) -> bytes:
        """The bytes without the pictures."""
        data = _WHOLE.sub(self._one, self._rest + data)
        open_ = _BEGUN.search(data)
        cut = open_.start() if open_ else len(data) - (data.endswith(b"\x1b"))
        self._rest = data[cut:]
        return data[:cut]

    def _one(self, match: "re.Match[bytes]") -> bytes:
        if match["apc"] is not None:
            self._kitty(match["apc"].decode("ascii"))
        elif match["dcs"] is not None:
            self.sixel.append(sixel_picture(match["dcs"].decode("ascii")))
        else:
            head, _, data = match["osc"].decode("ascii").partition(":")
            keys = dict(pair.split("=") for pair in head.removeprefix("File=").split(";"))
            raw = base64.b64decode(data, validate=True)
            assert int(keys["size"]) == len(raw)
            self.iterm2.append((keys, opened(raw)))
        return b""

    def _kitty(self, command: str) -> None:
        assert command[0] == "G"
        head, _, data = command[1:].partition(";")
        keys = dict(pair.split("=") for pair in head.split(","))
        assert keys["q"] == "2", "an answer would be read as keys"
        assert len(data) <= 4096
        if keys.get("a") == "d":
            self.deleted.append(int(keys["i"]))
            del self.kitty[int(keys["i"])]
            return
        if "a" in keys:
            assert not self._data, "the one before is not whole"
            self._keys = keys
        self._data += data
        if keys["m"] == "0":
            raw = base64.b64decode(self._data, validate=True)
            assert self._keys["f"] == "100"
            assert raw.startswith(b"\x89PNG")
            self.sent += 1
            self.kitty[int(self._keys.get("i", "0"))] = self._keys, opened(raw)
            self._data = ""


class Drawing:
    """Stands before pyte's stream, which knows no pictures."""

    def __init__(self, stream: Any) -> None:
        self.pictures, self._stream = Pictures(), stream

    def feed(self, data: bytes) -> None:
        self._stream.feed(self.pictures.take(data))


def sixel_picture(command: str) -> Image.Image:
    """DCS parameters, `q`, raster attributes and data; a pixel that was never drawn is magenta."""
    head, _, data = command.partition("q")
    assert re.fullmatch(r"[\d;]*", head)
    _, _, width, height = map(int, re.match(r'"(\d+);(\d+);(\d+);(\d+)', data).groups())  # type: ignore[union-attr]
    picture = Image.new("RGB", (width, height), (255, 0, 255))
    pixels, colors = picture.load(), {}
    x = top = color = 0
    token = re.compile(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|(\$)|(-)")
    position = data.index("#")
    while position < len(data):
        match = token.match(data, position)
        assert match, f"no sixel: {data[position : position + 20]!r}"
        position = match.end()
        if match[1]:
            color = int(match[1])
            if match[2]:
                colors[color] = tuple(round(int(match[n]) * 2.55) for n in (2, 3, 4))
        elif match[8]:
            x = 0
        elif match[9]:
            x, top = 0, top + 6
        else:
            bits = ord(match[6] or match[7]) - 63
            for column in range(x, x + int(match[5] or 1)):
                for row in range(6):
                    if bits >> row & 1:
                        pixels[column, top + row] = colors[color]  # type: ignore[index]
            x += int(match[5] or 1)
    return picture


def placeholders(screen: Any) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Of a pyte screen: where a placeholder stands (x, y), and which picture, row and column it shows."""
    found = {}
    for y in range(screen.lines):
        for x in range(screen.columns):
            cell = screen.buffer[y][x]
            if (
                cell.data[0] == "\U0010eeee" and len(cell.data) == 3
            ):  # one whose marks are still on their way is none yet
                found[x, y] = int(cell.fg, 16), mark(cell.data[1]), mark(cell.data[2])
    return found


FIRST_MARKS = "\u0305\u030d\u030e\u0310\u0312\u033d\u033e\u033f\u0346\u034a\u034b\u034c\u0350\u0351\u0352\u0357\u035b"
"""0 to 16, from the protocol's description."""


def mark(character: str) -> int:
    assert unicodedata.combining(character) == 230
    return FIRST_MARKS.index(character)
