"""The plan: one step for each thing that was found, with what will be done about it and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

State: TypeAlias = Literal["new", "there", "left"]
"""It will be brought over; it is here already, or read where it lies; it is left out."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is not there yet, mode 0600. `make` gives its bytes, `time` its age (seconds since 1970, None: now)."""

    path: Path
    make: Callable[[], bytes]
    time: float | None = None


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder where nothing is yet, with copies of `files` (relative to the folder `source`)."""

    path: Path
    source: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """An entry of `mcpServers` in mcp.json."""

    name: str
    entry: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of config.toml that is not set yet."""

    keys: tuple[str, ...]
    value: Any


@dataclass(frozen=True, slots=True)
class NewHook:
    """One more `[[hooks]]` of config.toml."""

    hook: Mapping[str, Any]


Change: TypeAlias = NewFile | NewFolder | Server | Setting | NewHook


@dataclass(frozen=True, slots=True)
class Step:
    """`what` is the kind of thing ("skill"), `name` which one, `note` what is changed or why it is left out.

    Steps of one `group` are shown as one line that counts them.
    Values of settings and servers are in none of the texts: some are secrets.
    """

    what: str
    name: str
    source: Path
    target: Path | None = None
    state: State = "new"
    note: str = ""
    change: Change | None = None
    group: str = ""


def there(what: str, name: str, source: Path, note: str) -> Step:
    return Step(what, name, source, state="there", note=note)


def left(what: str, name: str, source: Path, note: str, group: str = "") -> Step:
    return Step(what, name, source, state="left", note=note, group=group)
