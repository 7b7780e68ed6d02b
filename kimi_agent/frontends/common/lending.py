"""The real terminal lent to a program on a pseudo-terminal: keys and bytes pass through untouched."""

import asyncio
import os
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import TypeAlias

Lend: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Inside, the front end neither reads nor writes the terminal. Raises CannotLend at its beginning."""

_IN, _OUT = 0, 1
_RESTORE = b"\x1b[?1l\x1b>\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[0m\x1b[?25h\x1b[<u"
"""Keys, mouse, paste, focus, colours and cursor as they are before a program changes them."""
_LEAVE_SCREEN = b"\x1b[?1049l"


class CannotLend(Exception):
    """There is no terminal here that a program could have."""


def terminal_size() -> tuple[int, int]:
    """Columns and rows of the real terminal, 80 x 24 where there is none."""
    for descriptor in (_OUT, _IN, 2):
        with suppress(OSError):
            columns, rows = os.get_terminal_size(descriptor)
            return columns or 80, rows or 24
    return 80, 24


@contextmanager
def passing_keys(on_keys: Callable[[bytes], None], on_gone: Callable[[], None]) -> Iterator[None]:
    """While inside, what is typed goes to `on_keys`, byte by byte; `on_gone` is called when the terminal is.

    Raises CannotLend.
    """
    loop = asyncio.get_running_loop()
    try:
        before = termios.tcgetattr(_IN)
    except termios.error as error:
        raise CannotLend from error

    def read() -> None:
        try:
            keys = os.read(_IN, 65536)
        except BlockingIOError:
            return
        except OSError:
            keys = b""
        if keys:
            on_keys(keys)
        else:
            loop.remove_reader(_IN)
            on_gone()

    try:
        tty.setraw(_IN)
        loop.add_reader(_IN, read)
        yield
    finally:
        loop.remove_reader(_IN)
        with suppress(termios.error):
            termios.tcsetattr(_IN, termios.TCSADRAIN, before)


def pass_output(data: bytes) -> None:
    """Write to the real terminal; a terminal that has gone takes nothing."""
    view = memoryview(data)
    with suppress(OSError):
        while view:
            try:
                view = view[os.write(_OUT, view) :]
            except BlockingIOError:
                _wait_writable()


def _wait_writable() -> None:
    import select

    select.select([], [_OUT], [], 1.0)


def take_back(*, on_screen: bool) -> None:
    """Undo what a program left set; `on_screen`: it never left the alternate screen."""
    pass_output((_LEAVE_SCREEN if on_screen else b"") + _RESTORE)
