"""A program in a pseudo-terminal whose output is only searched, not drawn: the measuring costs next to nothing."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class RawTerminal:
    """`log` is every byte that the program wrote. As a context manager it kills the program."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, size: tuple[int, int] = (120, 40)
    ) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.log = b""
        self.began = time.perf_counter()
        self.child = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=dict(env), cwd=cwd, start_new_session=True
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.child.kill()
        self.child.wait()
        os.close(self.master)

    def send(self, data: str) -> None:
        os.write(self.master, data.encode())

    def wait_for(self, wanted: bytes, patience: float = 60.0, start: int = 0) -> float:
        """Seconds since `began` when `wanted` has been written, after the first `start` bytes. Raises RuntimeError."""
        deadline = time.perf_counter() + patience
        while wanted not in self.log[start:]:
            if not self.read(deadline - time.perf_counter()):
                raise RuntimeError(f"{wanted!r} never came: {self.log[-2000:]!r}")
        return time.perf_counter() - self.began

    def read(self, patience: float) -> bool:
        """Take what comes first; false when nothing came for so many seconds."""
        if not select.select([self.master], [], [], max(0.0, patience))[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.log += data
        return bool(data)

    def settle(self, quiet: float = 0.3) -> float:
        """Read until nothing comes for so many seconds; answers when the last byte came, on the performance clock."""
        last = time.perf_counter()
        while self.read(quiet):
            last = time.perf_counter()
        return last

    def latency(self, keys: str) -> float:
        """Seconds from a key to the last byte of what it changed."""
        sent = time.perf_counter()
        self.send(keys)
        if not self.read(5.0):
            raise RuntimeError(f"{keys!r} changed nothing")
        first = time.perf_counter()
        while self.read(0.02):
            first = time.perf_counter()
        return first - sent

    @property
    def cpu(self) -> float:
        """CPU seconds of the program so far, its threads included."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S

    @property
    def resident_mb(self) -> float:
        line = next(x for x in Path(f"/proc/{self.child.pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
        return int(line.split()[1]) / 1024
