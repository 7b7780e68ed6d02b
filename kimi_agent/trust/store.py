"""What was trusted: `$KIMI_HOME/trust.json`. Written whole or not at all, under a lock; keys of a newer version are kept."""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.whole_file import locked, write_whole

VERSION = 1
HINT = "Move it away; kimi then asks anew about each folder."


def trust_file(home: Path) -> Path:
    return home / "trust.json"


def read_trust(home: Path) -> dict[str, dict[str, Any]]:
    """What is known of each folder, by its real path. Raises ConfigError for a file that says nothing to rely on."""
    folders: dict[str, dict[str, Any]] = _read(trust_file(home))["folders"]
    return folders


@contextmanager
def changing(home: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The folders, to be changed by one program at a time; written when the block ends well.

    Raises ConfigError for a damaged file, which is left as it is, and OSError when it cannot be written.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(home / ".trust.lock"):
        data = _read(trust_file(home))
        yield data["folders"]
        write_whole(trust_file(home), json.dumps(data, ensure_ascii=False, indent=1))


def forget(home: Path, folder: Path | None = None) -> list[str]:
    """Take trust back from a folder, or from all; answers the paths. Raises as `changing`."""
    with changing(home) as folders:
        gone = [path for path in folders if folder is None or path == str(folder)]
        for path in gone:
            del folders[path]
    return gone


def _read(path: Path) -> dict[str, Any]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {"version": VERSION, "folders": {}}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}", "No folder is trusted.") from None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or about.st_uid not in (os.geteuid(), 0):
            raise ConfigError(
                f"others may write to {path}: no folder is trusted", f"Look at it, then: chmod 600 {path}"
            )
        data = file.read()
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path} is damaged: no folder is trusted", HINT) from None
    if not _is_whole(found):
        raise ConfigError(f"{path} is not what kimi wrote: no folder is trusted", HINT)
    return dict(found)


def _is_whole(data: Any) -> bool:
    """Whether what we rely on is of its kind; what else a newer version has written is no matter."""
    folders = data.get("folders") if isinstance(data, dict) else None
    return isinstance(folders, dict) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("files", {}), dict)
        and all(isinstance(file, dict) for file in entry.get("files", {}).values())
        for entry in folders.values()
    )
