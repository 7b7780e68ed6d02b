"""The terminal that the application draws on. One that has gone is written to no more, and hinders nobody from leaving."""

import codecs
import contextlib
import errno
import os
import select
import sys
import time
from typing import Any, TextIO

from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

TICK_S, AWAKE_S = 0.1, 1.0
"""How often, and how long after a key, it is looked at whether a sequence of keys was left unfinished, as after a lone Esc."""
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
        self._woken, self._wake = os.pipe()

    def run_input_thread(self) -> None:
        """Read keys. Textual looks ten times a second for them, which is most of what an idle session would cost."""
        parser, decode = XTermParser(self._debug), codecs.getincrementaldecoder("utf-8")().decode
        awake_until = 0.0
        while not self.exit_event.is_set():
            wait = TICK_S if time.monotonic() < awake_until else None
            ready, _, _ = select.select([self.fileno, self._woken], [], [], wait)
            if ready:
                awake_until = time.monotonic() + AWAKE_S
            if self._woken in ready:
                os.read(self._woken, 1)
            if self.fileno in ready:
                if not (data := os.read(self.fileno, 4096)):
                    break
                if text := decode(data):
                    for message in parser.feed(text):
                        self.process_message(message)
            for message in parser.tick():
                self.process_message(message)
        with contextlib.suppress(EOFError, ParseError):
            for _ in parser.feed(""):
                pass

    def disable_input(self) -> None:
        os.write(self._wake, b"x")
        super().disable_input()
