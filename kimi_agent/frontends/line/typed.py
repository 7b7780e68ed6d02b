"""Lines from a terminal that edits them itself, and what has been typed of a line that is not finished."""

import asyncio
import contextlib
import os
import select
import termios

_LOCAL, _CONTROL = 3, 6  # places in what tcgetattr answers


class TypedLines:
    """Reads the terminal `fd` while the loop runs, line by line; it never reads ahead of the person."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._rest = b""  # of a line that Ctrl-D has given out before its end

    def start(self) -> None:
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)

    async def next(self) -> bytes | None:
        """The next line without its line break, None when the terminal has gone or Ctrl-D was pressed."""
        return await self._lines.get()

    def take(self) -> tuple[list[bytes], bytes]:
        """The lines that nobody has waited for yet, and what was typed of the next one; they will not come again."""
        typed = self._rest + b"".join(self._drained())
        self._rest = b""
        lines: list[bytes] = []
        while not self._lines.empty():
            line = self._lines.get_nowait()
            if line is None:
                self._lines.put_nowait(None)
                break
            lines.append(line)
        *whole, half = typed.split(b"\n")
        return lines + whole, half

    def _read(self) -> None:
        if not self._ready():  # `take` was faster
            return
        try:
            chunk = os.read(self._fd, 65536)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
        if not chunk:
            self.stop()
            self._lines.put_nowait(None)
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._lines.put_nowait(line.removesuffix(b"\r"))

    def _ready(self) -> bool:
        return bool(select.select([self._fd], [], [], 0)[0])

    def _drained(self) -> list[bytes]:
        """All that the terminal holds, also an unfinished line: it gives that out only while it does not edit lines."""
        chunks: list[bytes] = []
        with contextlib.suppress(termios.error, OSError):
            before, raw = termios.tcgetattr(self._fd), termios.tcgetattr(self._fd)
            raw[_LOCAL] &= ~termios.ICANON
            raw[_CONTROL][termios.VMIN] = raw[_CONTROL][termios.VTIME] = 0
            termios.tcsetattr(self._fd, termios.TCSANOW, raw)
            try:
                while self._ready() and (chunk := os.read(self._fd, 65536)):
                    chunks.append(chunk)
            finally:
                termios.tcsetattr(self._fd, termios.TCSANOW, before)
        return chunks
