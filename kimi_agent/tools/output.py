"""Output of any size in bounded memory: head and tail for the model, the whole in a file, a live view for the person."""

import asyncio
import codecs
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from kimi_agent.core.redact import Redactor
from kimi_agent.core.sanitize import plain

HEAD = TAIL = 12_000  # bytes kept of each end
FILE_CAP = 50_000_000  # bytes of the whole output that are kept in the file
_CAPPED = b"\n[kimi keeps %d MB of an output; what follows is left out, up to its end]\n" % (FILE_CAP // 1_000_000)
_LIVE_INTERVAL_S = 0.1
_LIVE_BYTES = 8_000  # per interval: more than a screen, and nobody reads faster


class HeadTail:
    """Collects bytes. When they are more than head and tail hold, all of them (up to `FILE_CAP`) are in `path`, too.

    What `redactor` knows is in none of them.
    """

    def __init__(self, path: Path, redactor: Redactor | None = None) -> None:
        self.path = path
        self._stream = (redactor or Redactor()).stream()
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._tail_lines = 0  # line breaks that ever entered the tail
        self._file: BinaryIO | None = None
        self._file_size = 0
        self._file_error = ""
        self._follows = False

    def feed(self, data: bytes) -> bytes:
        """Take a piece; what of it may be shown now."""
        return self._take(self._stream.feed(data))

    def _take(self, data: bytes) -> bytes:
        taken = data
        if self._follows or self.total + len(data) > HEAD + TAIL:
            self._spill(data)
        self.total += len(data)
        room = HEAD - len(self._head)
        if room:
            self._head += data[:room]
            data = data[room:]
        self._tail_lines += data.count(b"\n")
        self._tail += data[-TAIL:]
        if len(self._tail) > 4 * TAIL:
            del self._tail[:-TAIL]
        return taken

    def follow(self) -> None:
        """From now on all of it is in the file, as soon as it comes. The end is there too when the middle was too long."""
        self._follows = True
        self._spill(b"")

    def close(self) -> None:
        """There is no more to come."""
        self._take(self._stream.end())
        if self._file is not None:
            with suppress(OSError):
                if self._follows and self.total > FILE_CAP:
                    self._file.write(self._tail[-min(TAIL, self.total - FILE_CAP) :])
                self._file.close()
            self._file = None

    @property
    def problem(self) -> str:
        """Why the file does not hold what it should; empty when it does."""
        return self._file_error

    def text(self) -> str:
        """What the model reads: control sequences removed, cut at line breaks where there are some."""
        if self.total <= HEAD + TAIL:
            return plain((self._head + self._tail).decode("utf-8", "replace"))
        head, tail = bytes(self._head), bytes(self._tail[-TAIL:])
        head = head[: head.rfind(b"\n", HEAD // 2) + 1] or head
        tail = tail[tail.find(b"\n", 0, TAIL // 2) + 1 :]
        left_out = self.total - len(head) - len(tail)
        lines = self._head.count(b"\n") + self._tail_lines - head.count(b"\n") - tail.count(b"\n")
        gap = f"[... {left_out:,} bytes ({lines:,} line breaks) left out; {self._where()} ...]"
        return f"{_cut(head).rstrip()}\n\n{gap}\n\n{_cut(tail)}"

    def _where(self) -> str:
        if self._file_error:
            return f"the whole could not be saved: {self._file_error}"
        if self.total > FILE_CAP:
            return f"the first {FILE_CAP // 1_000_000} MB are in {self.path}"
        return f"the whole is in {self.path}: Grep it or read parts of it"

    def _spill(self, data: bytes) -> None:
        if self._file_error or self._file_size >= FILE_CAP:
            return
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("wb")
                self._file_size = self._file.write(self._head + self._tail)
            self._file_size += self._file.write(data[: FILE_CAP - self._file_size])
            if self._follows:
                if self._file_size >= FILE_CAP:
                    self._file.write(_CAPPED)
                self._file.flush()
        except OSError as error:
            self._file_error = error.strerror or type(error).__name__
            self.close()


class Live:
    """Passes output on as text, at most every `_LIVE_INTERVAL_S`; of a flood only the newest `_LIVE_BYTES` per interval."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._loop = asyncio.get_running_loop()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = bytearray()
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0

    def feed(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) > 16 * _LIVE_BYTES:
            del self._pending[:-_LIVE_BYTES]
        if self._timer is None:
            self._timer = self._loop.call_at(max(self._next, self._loop.time()), self._flush)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def _flush(self) -> None:
        self._timer = None
        self._next = self._loop.time() + _LIVE_INTERVAL_S
        if text := self._decoder.decode(bytes(self._pending[-_LIVE_BYTES:])):
            self._show(text)
        self._pending.clear()


def spill_path(scratch: Path, name: str, call_id: str) -> Path:
    """A file of `scratch` for the whole output of one call; ids come from the model's side and may hold anything."""
    return scratch / f"{name}-{re.sub(r'[^A-Za-z0-9._-]', '_', call_id)[-64:]}.txt"


def _cut(data: bytes) -> str:
    """Text of a piece that may begin or end inside a character."""
    while data and data[0] & 0xC0 == 0x80:
        data = data[1:]
    return plain(codecs.getincrementaldecoder("utf-8")("replace").decode(data))
