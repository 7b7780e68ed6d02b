"""What git does not keep of a folder, in a file beside its index: rights, folders, what is left out, and what changed last."""

import json
import os
import stat
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec import Struct, field

from kimi_agent.core.snapshot import FileState
from kimi_agent.workspaces.snapshot_git import replace_text


class Beside(Struct):
    """Paths are relative to the root."""

    modes: dict[str, int] = field(default_factory=dict)  # rights that are not the usual ones
    folders: set[str] = field(default_factory=set)  # all that were seen
    aside: dict[str, FileState | None] = field(
        default_factory=dict
    )  # what is otherwise than the index has it; None: gone

    def mode(self, path: str, mode: int) -> int:
        """The whole `st_mode` of what the index has as `mode`."""
        if stat.S_ISLNK(mode):
            return mode | 0o777
        plain = stat.S_IFREG | ((0o777 if mode & 0o100 else 0o666) & ~umask())
        own = self.modes.get(path, plain)
        return own if (own ^ mode) & 0o100 == 0 else plain

    def is_plain(self, mode: int) -> bool:
        return stat.S_IMODE(mode) in (0o666 & ~umask(), 0o777 & ~umask())

    def write(self, index: Path) -> None:
        """Raises OSError."""
        aside = {path: state and (state.mode, state.blob) for path, state in self.aside.items()}
        data = {"modes": self.modes, "folders": sorted(self.folders), "aside": aside}
        replace_text(_file(index), json.dumps(data))


def read_beside(index: Path) -> Beside:
    """What was written beside an index; nothing where there is none."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(_file(index).read_text())
        aside = {path: state and FileState(*state) for path, state in data["aside"].items()}
        return Beside(data["modes"], set(data["folders"]), aside)
    return Beside()


def _file(index: Path) -> Path:
    return index.with_name(index.name + ".json")


@cache
def umask() -> int:
    """This process's, without a moment in which it is another one."""
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
