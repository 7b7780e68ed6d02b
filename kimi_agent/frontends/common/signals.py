"""Signals that end an interactive front end: its turn is closed first, and the exit code names the signal."""

import asyncio
import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def ending_with(leave: Callable[[int], None]) -> Iterator[None]:
    """While inside, SIGTERM and SIGHUP call `leave` with their exit code. SIGHUP stays ignored under `nohup`."""
    loop = asyncio.get_running_loop()

    def hung_up() -> None:
        _write_nowhere()
        leave(128 + signal.SIGHUP)

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread
        loop.add_signal_handler(signal.SIGTERM, leave, 128 + signal.SIGTERM)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        loop.remove_signal_handler(signal.SIGHUP)


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
