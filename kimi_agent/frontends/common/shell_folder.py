"""The private folder that a shell of shell mode reads its start and its commands from."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "kimi-shell-"


def new_folder() -> Path:
    """A new one. Those that programs left which were killed are removed. Raises OSError."""
    _remove_left(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _remove_left(parent: Path) -> None:
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            pid = entry.name.removeprefix(_PREFIX).partition("-")[0]
            if entry.name.startswith(_PREFIX) and pid.isdecimal() and not _lives(int(pid)) and _is_mine(entry):
                shutil.rmtree(entry.path, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


def _is_mine(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
