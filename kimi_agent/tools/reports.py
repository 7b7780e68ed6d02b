"""Files that a process in the box leaves for us. It may put anything in their place: a link, a pipe, a flood."""

import os
import stat
from pathlib import Path

from kimi_agent.core.workspace import REPORTS, Workspace


def report_folder(workspace: Workspace, scratch: Path) -> Path:
    """The one folder beside `scratch` that processes may write; it is made. Raises OSError."""
    folder: Path = getattr(workspace, "reports", None) or scratch / REPORTS  # workspaces of plugins may have none
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def read_report(path: Path, limit: int) -> bytes:
    """The last `limit` bytes of a file; nothing when it is not there, or is no file. No link is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        about = os.fstat(descriptor)
        return os.pread(descriptor, limit, max(0, about.st_size - limit)) if stat.S_ISREG(about.st_mode) else b""
    finally:
        os.close(descriptor)
