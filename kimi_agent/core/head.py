"""Reading the beginning of a file that may be anything."""

import os
import stat
from pathlib import Path


def read_head(path: Path | str, limit: int) -> bytes:
    """The beginning of a regular file; a pipe in its place would be waited for without end. Raises OSError, ValueError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no file")
        data = b""
        while len(data) < limit and (more := file.read(limit - len(data))):
            data += more
        return data
