"""Pictures that the terminal itself draws in the full-screen shell.

Kitty's placeholders are text: they scroll, are cut and covered as text is. Sixel and iTerm2 pictures lie on the screen where
they were drawn, whatever is written around them later: there the full-screen shell keeps to half blocks.
"""

from collections.abc import Callable
from typing import Any

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.app import App

from kimi_agent.core.message import Image
from kimi_agent.frontends.common import graphics
from kimi_agent.frontends.common.look import Images
from kimi_agent.frontends.common.pictures import scaled, size_on_screen
from kimi_agent.frontends.tui.draw.canvas import DrawPicture
from kimi_agent.frontends.tui.draw.lines import Line
from kimi_agent.frontends.tui.draw.picture import block_lines, in_words

MAX_STORED = 128 << 20
"""Bytes that the terminal needs for the pictures it was sent; Kitty forgets the oldest beyond 320 MB."""
_FIRST = 0x10001
"""Numbers with three bytes that are not zero at first sight: a colour that nothing else has."""


class TerminalPictures:
    """Sends the terminal each picture once per size, where it takes them.

    When it holds more than `limit` bytes, others are half blocks until `clear`.
    """

    def __init__(
        self,
        protocol: graphics.Protocol = "blocks",
        write: Callable[[str], None] = lambda _: None,
        limit: int = MAX_STORED,
    ) -> None:
        self._protocol, self._write, self._limit = protocol, write, limit
        self._drawn: dict[tuple[str, tuple[int, int], tuple[int, int]], list[Line] | None] = {}
        self._numbers: list[int] = []
        self._next = _FIRST
        self._stored = 0

    @property
    def draw(self) -> DrawPicture | None:
        """None: half blocks."""
        if self._protocol == "off":
            return in_words
        return self._placeholders if self._protocol == "kitty" else None

    @property
    def many(self) -> bool:
        """Whether the terminal holds so many that they should be cleared when all is drawn again anyway."""
        return self._stored > self._limit // 2

    def clear(self) -> None:
        """Take all pictures out of the terminal; what is drawn again is sent again."""
        if self._numbers:
            self._write("".join(map(graphics.kitty_deleted, self._numbers)))
        self.forget()

    def forget(self) -> None:
        """The terminal has lost its pictures."""
        self._drawn, self._numbers, self._stored = {}, [], 0

    def _placeholders(self, image: Image, width: int, rows: int) -> list[Line] | None:
        cell = graphics.cell_size() or graphics.CELL
        width, rows = min(width, len(graphics.MARKS)), min(rows, len(graphics.MARKS))
        key = image.data, size_on_screen(image, width, rows, cell), cell
        if key not in self._drawn:
            if self._stored > self._limit:
                return block_lines(image, width, rows)
            self._drawn[key] = self._send(image, width, rows, cell)
        return self._drawn[key]

    def _send(self, image: Image, width: int, rows: int, cell: tuple[int, int]) -> list[Line] | None:
        found = scaled(image, width, rows, cell)
        if found is None:
            return None
        number, self._next = self._next, self._next + 1
        self._write(graphics.kitty_stored(number, found.png, found.columns, found.rows))
        self._numbers.append(number)
        self._stored += found.picture.width * found.picture.height * 4
        style = Style(color=Color.from_rgb(number >> 16 & 255, number >> 8 & 255, number & 255))
        return [[Segment(row, style)] for row in graphics.kitty_placeholders(found.columns, found.rows)]


def pictures_of(app: App[Any], images: Images, write: Callable[[str], None]) -> TerminalPictures:
    """For a terminal that is in use. A browser and a screen without a terminal take none; Kitty needs colours of 24 bits."""
    chosen = graphics.protocol(images)
    away = app.is_web or (app.is_headless and images == "auto")
    if chosen == "kitty" and (away or app.console.color_system != "truecolor"):
        chosen = "blocks"
    return TerminalPictures(chosen, write)
