"""What the person decided about plugins: `$KIMI_HOME/plugins/installed.json`. Written whole or not at all, under a lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.whole_file import locked, write_whole
from kimi_agent.plugins.content import Stamp


class Record(msgspec.Struct, omit_defaults=True):
    """`hash` is that of the folder when it was trusted, `stamp` the folder's at that time; both empty for a bundled plugin.

    `content` is the hash that was shown: the plugin's own files, before a key was written among them.
    """

    enabled: bool = True
    version: str = ""
    source: str = ""
    commit: str = ""
    content: str = ""
    hash: str = ""
    stamp: Stamp | None = None


class _File(msgspec.Struct):
    plugins: dict[str, Record] = {}
    version: int = 1


def plugins_folder(home: Path) -> Path:
    return home / "plugins"


def read_records(home: Path) -> dict[str, Record]:
    """Raises ConfigError when the file is damaged."""
    path = plugins_folder(home) / "installed.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).plugins
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        hint = "Move it away, then trust each plugin anew: kimi plugin enable NAME."
        raise ConfigError(f"{path} is damaged", hint) from None


@contextmanager
def changing(home: Path) -> Iterator[dict[str, Record]]:
    """The records, to be changed by one program at a time; written when the block ends well.

    Raises ConfigError when the file is damaged, OSError when it cannot be written.
    """
    folder = plugins_folder(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(folder / ".lock"):
        records = read_records(home)
        yield records
        write_whole(folder / "installed.json", msgspec.json.format(msgspec.json.encode(_File(records)), indent=2))
