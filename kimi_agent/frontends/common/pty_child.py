"""A program on a pseudo-terminal of its own, watched from the event loop, killed with all that it started."""

import asyncio
import contextvars
import fcntl
import os
import pty
import signal
import struct
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from kimi_agent.processes.family import MARK, kill_family, new_mark
from kimi_agent.processes.watcher import watcher

Size = tuple[int, int]
"""Columns and rows of a terminal."""

_CHUNK = 1 << 16
_READS = 16
"""Chunks taken in one go before the event loop looks at something else."""
_REDRAW_S = 0.1
"""Keys wait so long after a change of the size: `less` loses those that come while it is told."""
_LAUNCH = 'cd -- "$0" && exec "$@"'


class PtyChild:
    """`on_data` gets what it writes, `on_exit` its exit code, None when a signal killed it: by then nothing of it is left.

    Raises OSError when it cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        size: Size,
        on_data: Callable[[bytes], None],
        on_exit: Callable[[int | None], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()  # the thread that waits has none of the front end
        self._on_data, self._on_exit = on_data, on_exit
        self._unwritten = bytearray()
        self._hears_at = 0.0
        self._family = new_mark(watcher().mark)
        self._alive, self._reading, self._size = True, False, size
        self._fd, slave = pty.openpty()
        self._sane = termios.tcgetattr(slave)
        try:
            self._set_size(size)
            # Of a session without a terminal, the first one that it opens is its own.
            opens = (os.POSIX_SPAWN_OPEN, 0, os.ttyname(slave), os.O_RDWR, 0)
            copies = ((os.POSIX_SPAWN_DUP2, 0, number) for number in (1, 2))
            ours = {number for number in signal.valid_signals() if signal.getsignal(number) is not signal.SIG_DFL}
            self.pid = os.posix_spawn(
                "/bin/sh",
                ["sh", "-c", _LAUNCH, str(cwd), *argv],
                {**env, MARK: self._family},
                file_actions=[opens, *copies],
                setsid=True,
                setsigdef=ours,
                setsigmask=(),
            )
        except BaseException:
            os.close(self._fd)
            raise
        finally:
            os.close(slave)
        watcher().started(self.pid)
        os.set_blocking(self._fd, False)
        self.read_on()
        threading.Thread(target=self._wait, name="user-shell", daemon=True).start()

    # --- what it says and hears ---------------------------------------------------------------------------------------

    def read_on(self) -> None:
        if self._alive:
            self._reading = True
            self._loop.add_reader(self._fd, self._readable)

    def pause(self) -> None:
        """Leave what it writes in the terminal: it waits when that is full."""
        if self._alive:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _readable(self) -> None:
        for _ in range(_READS):
            if not (data := self._read()):
                return
            self._on_data(data)
            if not self._reading:
                return

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return b""
        except OSError:  # nobody has the other end open: its exit is told soon
            self.pause()
            return b""

    def write(self, data: bytes) -> None:
        """Type `data`. What it does not take yet is kept."""
        self._unwritten += data
        if (wait := self._hears_at - self._loop.time()) > 0:
            self._loop.call_later(wait, self._write_on)
        else:
            self._write_on()

    def _write_on(self) -> None:
        if not self._alive:
            return
        try:
            while self._unwritten:
                del self._unwritten[: os.write(self._fd, self._unwritten)]
        except BlockingIOError:
            self._loop.add_writer(self._fd, self._write_on)
            return
        except OSError:
            self._unwritten.clear()
        self._loop.remove_writer(self._fd)

    # --- its terminal -------------------------------------------------------------------------------------------------

    def resize(self, size: Size) -> None:
        if self._alive and size != self._size:
            self._size = size
            self._set_size(size)
            self._hears_at = self._loop.time() + _REDRAW_S

    def _set_size(self, size: Size) -> None:
        columns, rows = size
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", max(1, rows), max(1, columns), 0, 0))

    @property
    def reads_secret(self) -> bool:
        """Whether it reads a line that is not echoed: a password."""
        if not self._alive:
            return False
        flags = termios.tcgetattr(self._fd)[3]
        return bool(flags & termios.ICANON) and not flags & termios.ECHO

    def mend_modes(self) -> None:
        """Undo what a program left that died raw: without lines and without their ends no shell hears a command."""
        if self._alive:
            input_, output, _, local, *_ = termios.tcgetattr(self._fd)
            if not (
                input_ & termios.ICRNL and output & termios.OPOST and local & termios.ICANON and local & termios.ISIG
            ):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._sane)

    @property
    def reads_keys(self) -> bool:
        """Whether it reads each key by itself, not lines: it has an editor or a menu of its own."""
        return self._alive and not termios.tcgetattr(self._fd)[3] & termios.ICANON

    def kill_foreground(self) -> None:
        """Kill what runs in the foreground; all of it, when that is the program itself."""
        with suppress(OSError):
            group = os.tcgetpgrp(self._fd)
            os.killpg(group, signal.SIGKILL)

    # --- its end ------------------------------------------------------------------------------------------------------

    def _wait(self) -> None:
        """In a thread: wait for the end, but leave the number in use until its family is gone."""
        with suppress(OSError):
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self.kill, context=self._context)

    def kill(self) -> None:
        """Kill it and all that it started, or what is left of them; take its last output and call `on_exit`. Twice is once."""
        if not self._alive:
            return
        kill_family(self.pid, self._family)
        while data := self._read():
            self._on_data(data)
        _, status = os.waitpid(self.pid, 0)
        watcher().ended(self.pid)
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._alive = False
        os.close(self._fd)
        code = os.waitstatus_to_exitcode(status)
        self._on_exit(code if code >= 0 else None)
