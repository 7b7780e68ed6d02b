"""A window of a text file's lines, in memory that does not grow with the file."""

import codecs
from collections.abc import AsyncIterator
from pathlib import Path

from msgspec import Struct

from kimi_agent.core.errors import ToolError
from kimi_agent.core.workspace import Stat, Workspace
from kimi_agent.tools.textfile import HEAD, Encoding, encoding_of

WHOLE = 2 << 20
"""Bytes up to which a file is read at once."""
COUNTED = 512 << 20
"""Bytes up to which lines are counted; beyond, the lines at the end have no known numbers."""
CHUNK = 1 << 20
FAR = 64 << 20
"""Bytes that are looked through for the lines of one window of a file too large to count: one of them may be endless."""
LINE_WIDTH = 2000
BUDGET = 100 << 10
"""Characters of one window."""


class Window(Struct):
    """`lines` begin at number `first` (from 1; negative: counted from the end). `total` is None when it is not known.

    `content` is the whole file where it was small enough. `cut` says that some line was longer than LINE_WIDTH.
    """

    lines: list[str]
    first: int
    total: int | None
    encoding: Encoding
    content: bytes | None = None
    crlf: bool = False
    cut: bool = False


def window_of(data: bytes, offset: int, count: int) -> Window:
    """Up to `count` lines from line `offset`, or from the `-offset`th last line when it is negative."""
    encoding = encoding_of(data)
    lines = _lines_of(data, encoding)
    first = offset if offset > 0 else max(1, len(lines) + offset + 1)
    out = _collected(lines[first - 1 : first - 1 + count])
    return Window(out.lines, first, len(lines), encoding, data, _has_crlf(data), out.cut)


def _lines_of(data: bytes, encoding: Encoding) -> list[str]:
    lines = data[len(encoding.bom) :].decode(encoding.codec, "replace").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def _has_crlf(data: bytes) -> bool:
    return b"\r\n" in data or b"\r\0\n" in data or b"\0\r\0\n" in data


def _collected(lines: list[str]) -> "_Collector":
    out = _Collector(len(lines))
    for line in lines:
        out.extend(line)
        out.end_line()
    return out


class _Collector:
    """Takes the lines of a window as they come, in pieces: no line and no window grows beyond its limit."""

    def __init__(self, count: int, skip: int = 0) -> None:
        self.lines: list[str] = []
        self.cut = False
        self.broken_off = False
        self._count, self._skip, self._size = count, skip, 0
        self._head, self._length = "", 0  # of the line that has not ended yet

    @property
    def full(self) -> bool:
        return len(self.lines) >= self._count or self._size > BUDGET

    def feed(self, text: str) -> None:
        *ended, rest = text.split("\n")
        for piece in ended:
            self.extend(piece)
            self.end_line()
        self.extend(rest)

    def extend(self, piece: str) -> None:
        if not self._skip and piece:
            self._head += piece[: LINE_WIDTH + 1 - len(self._head)]
            self._length += len(piece)

    def end_line(self) -> None:
        if self._skip:
            self._skip -= 1
        elif not self.full:
            line = self._head.removesuffix("\r") if self._length == len(self._head) else self._head
            if len(line) > LINE_WIDTH:
                more = f"{'at least ' if self.broken_off else ''}{self._length - LINE_WIDTH:,}"
                line = f"{line[:LINE_WIDTH]} … [{more} more characters in this line]"
                self.cut = True
            self._size += len(line) + 8  # the number before it
            self.lines.append(line)
        self._head, self._length = "", 0

    def finish(self) -> None:
        """The text is over; its last line may have had no end."""
        if self._length:
            self.end_line()


class LargeFile:
    """Counts line ends chunk by chunk, then decodes only the chunks that hold the window.

    `chunk` is in bytes, a multiple of four so that no UTF-16 or UTF-32 unit is split.
    """

    def __init__(self, workspace: Workspace, path: Path, stat: Stat, chunk: int = CHUNK) -> None:
        self._workspace, self._path, self._size, self._chunk = workspace, path, stat.size, chunk

    async def window(self, offset: int, count: int) -> Window:
        """As `window_of`; the window has no `content`."""
        head = await self._workspace.read(self._path, HEAD)
        encoding = encoding_of(head, whole=False)
        if self._size > COUNTED and offset < 0:
            return await self._uncounted_tail(encoding, -offset, count)
        ends = [count async for count in self._line_ends(encoding, offset - 1 if self._size > COUNTED else None)]
        total: int | None = None
        if self._size <= COUNTED:
            last = await self._workspace.read(self._path, 4, max(0, self._size - 4))
            total = sum(ends) + (not last.endswith("\n".encode(encoding.codec)))
        first = offset if offset > 0 else max(1, (total or 0) + offset + 1)
        chunk, before = 0, 0  # the chunk in which line `first` begins, and the line ends before it
        while chunk < len(ends) and before + ends[chunk] < first - 1:
            before, chunk = before + ends[chunk], chunk + 1
        out = _Collector(count, first - 1 - before)
        await self._collect(encoding, chunk * self._chunk, out)
        return Window(out.lines, first, total, encoding, None, _has_crlf(head), out.cut)

    async def _uncounted_tail(self, encoding: Encoding, back: int, count: int) -> Window:
        """The last lines of a file too large to count, as far as they lie in its last chunk."""
        start = max(0, self._size - CHUNK) & ~3
        tail = await self._workspace.read(self._path, CHUNK + 4, start)
        lines = _lines_of(tail, Encoding(encoding.codec))[1:][-back:]
        if not lines:
            raise ToolError(f"The file ends in a line of more than {CHUNK:,} bytes: see its end with Shell (tail -c).")
        out = _collected(lines[:count])
        return Window(out.lines, -len(lines), None, encoding, None, _has_crlf(tail), out.cut)

    async def _line_ends(self, encoding: Encoding, enough: int | None) -> AsyncIterator[int]:
        """Line ends per chunk, up to the chunk in which there have been `enough`."""
        position = found = 0
        while position < self._size and (enough is None or found < enough):
            chunk = await self._workspace.read(self._path, self._chunk, position)
            if not chunk:
                return
            wide = encoding.codec.startswith(("utf-16", "utf-32"))
            ends = chunk.decode(encoding.codec, "replace").count("\n") if wide else chunk.count(b"\n")
            yield ends
            position, found = position + len(chunk), found + ends

    async def _collect(self, encoding: Encoding, position: int, out: _Collector) -> None:
        decoder = codecs.getincrementaldecoder(encoding.codec)("replace")
        position = position or len(encoding.bom)
        end = position + FAR if self._size > COUNTED else self._size + 1
        while not out.full:
            if position >= end:
                out.broken_off = True
                out.finish()
                return
            chunk = await self._workspace.read(self._path, self._chunk, position)
            out.feed(decoder.decode(chunk, final=not chunk))
            if not chunk:
                out.finish()
                return
            position += len(chunk)
