"""The terminal that the application draws on. One that has gone is written to no more, and hinders nobody from leaving."""

import contextlib
import errno
import sys
from typing import Any, TextIO

from textual.drivers.linux_driver import LinuxDriver

GONE = (errno.EIO, errno.ENXIO, errno.EPIPE)


class Screen:
    """A stream to a terminal. An error of it would end the thread that writes, for which the application waits at its end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._gone = stream, False

    def write(self, text: str) -> None:
        if not self._gone:
            with self._until_gone():
                self._stream.write(text)

    def flush(self) -> None:
        if not self._gone:
            with self._until_gone():
                self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    @contextlib.contextmanager
    def _until_gone(self) -> Any:
        try:
            yield
        except OSError as error:
            if error.errno not in GONE:
                raise
            self._gone = True


class TerminalDriver(LinuxDriver):
    """Draws on the standard error, as Textual does; where that is no terminal (`2>file`), on the standard output."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        streams = [stream for stream in (sys.__stderr__, sys.__stdout__) if stream is not None]
        chosen = next((stream for stream in streams if stream.isatty()), streams[0])
        self._file: Any = Screen(chosen)
