"""Standard input and output as bytes: a reader that can be waited for and left alone, a writer that survives a closed pipe."""

import asyncio
import contextlib
import os
import sys
import threading
from typing import BinaryIO

MAX_LINE = 32 * 1024 * 1024
"""Bytes. A longer line is delivered cut, so that whoever parses it can say what is wrong; the rest of it is dropped."""


class Output:
    """Writes bytes and flushes. Once the reader has gone, `closed` is set and further writes do nothing."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self.is_tty = self._stream.isatty()
        self.closed = False
        with contextlib.suppress(OSError, ValueError):  # a parent may have left a shared pipe non-blocking
            os.set_blocking(self._stream.fileno(), True)

    def write(self, data: bytes) -> None:
        if self.closed:
            return
        try:
            self._stream.write(data)
            self._stream.flush()
        except (BrokenPipeError, ConnectionResetError, ValueError):
            self._abandon()

    def write_text(self, text: str) -> None:
        """Text as UTF-8; a lone surrogate, which no encoding has, becomes a question mark."""
        self.write(text.encode("utf-8", "replace"))

    def _abandon(self) -> None:
        """Point the descriptor at /dev/null, or the interpreter complains about what is still buffered when it exits."""
        self.closed = True
        with contextlib.suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, self._stream.fileno())
            os.close(sink)


class InputLines:
    """Lines of a descriptor, read by a daemon thread: works for pipes, terminals and plain files alike.

    The thread reads with `os.read`, because a thread that sits in a buffered `readline` makes the interpreter abort at exit.
    """

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._started = False
        self._ended = False

    async def next(self) -> bytes | None:
        """The next line without its line break, None at the end of the input. Cancelling loses no line."""
        if self._ended:
            return None
        if not self._started:
            self._started = True
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._read, args=(loop,), daemon=True, name="stdin").start()
        line = await self._lines.get()
        self._ended = line is None
        return line

    def stop(self) -> None:
        """Let `next` answer None when it has answered what has come so far, as if the input had ended."""
        self._lines.put_nowait(None)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        rest = bytearray()
        with contextlib.suppress(OSError, RuntimeError):  # the terminal went away; the loop was closed
            while chunk := os.read(self._fd, 65536):
                *lines, tail = chunk.split(b"\n")
                for line in lines:
                    rest += line
                    self._post(loop, bytes(rest[:MAX_LINE]).removesuffix(b"\r"))
                    rest.clear()
                if len(rest) <= MAX_LINE:
                    rest += tail
            if rest:
                self._post(loop, bytes(rest[:MAX_LINE]))
        with contextlib.suppress(RuntimeError):
            self._post(loop, None)

    def _post(self, loop: asyncio.AbstractEventLoop, line: bytes | None) -> None:
        loop.call_soon_threadsafe(self._lines.put_nowait, line)
