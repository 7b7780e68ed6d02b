"""Small files of ours: written whole or not at all, by one program at a time, for nobody else's eyes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold the lock of this file, which is made where it is missing; blocks while another program has it. Raises OSError."""
    import fcntl

    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, data: bytes | str, mode: int = 0o600) -> None:
    """A reader sees the old file or the new one, also after a crash; a link is replaced. Raises OSError, UnicodeError."""
    import tempfile

    given = data.encode() if isinstance(data, str) else data
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(given)
            file.flush()
            os.fsync(file.fileno())
        if mode != 0o600:
            Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
