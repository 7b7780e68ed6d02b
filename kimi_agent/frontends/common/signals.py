"""What ends an interactive front end from outside: its turn is closed first, and the exit code names the signal."""

import asyncio
import contextlib
import errno
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def ending_with(leave: Callable[[int], None], interrupt: Callable[[], None] | None = None) -> Iterator[None]:
    """While inside, SIGTERM, SIGQUIT and SIGHUP call `leave` with their exit code. SIGHUP stays ignored under `nohup`.

    A terminal that goes away counts as SIGHUP also where none is sent, as to a program that it does not control.
    SIGINT calls `interrupt`; without it, it is as it was.
    """
    loop = asyncio.get_running_loop()

    def hung_up() -> None:
        _write_nowhere()
        leave(128 + signal.SIGHUP)

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
        for number in (signal.SIGTERM, signal.SIGQUIT):
            loop.add_signal_handler(number, leave, 128 + number)
        if interrupt is not None:
            loop.add_signal_handler(signal.SIGINT, interrupt)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, hung_up)
    inside = True

    def gone() -> None:
        if inside:
            hung_up()

    if hasattr(select, "poll") and os.isatty(0):
        threading.Thread(target=_await_hang_up, args=(loop, gone), name="hang-up", daemon=True).start()
    try:
        yield
    finally:
        inside = False
        for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, *([signal.SIGINT] if interrupt else [])):
            loop.remove_signal_handler(number)


def _await_hang_up(loop: asyncio.AbstractEventLoop, gone: Callable[[], None]) -> None:
    """Sleep until the terminal on standard input has gone. Some systems cannot poll terminals: there it ends at once."""
    hang_up = select.poll()
    hang_up.register(0, 0)
    found = hang_up.poll()
    if any(events & select.POLLHUP for _, events in found):
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(gone)


def _write_nowhere() -> None:
    """Where the terminal has gone every write to it would fail, also those that restore it."""
    import termios

    for descriptor in (1, 2):
        try:
            termios.tcgetattr(descriptor)
        except termios.error as error:
            if error.args[0] == errno.EIO:  # a file or a pipe says ENOTTY
                with contextlib.suppress(OSError):
                    sink = os.open(os.devnull, os.O_WRONLY)
                    os.dup2(sink, descriptor)
                    os.close(sink)
