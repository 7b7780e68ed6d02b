"""Writing the configuration file: comments and unknown keys survive, nobody else can read it, nothing is ever half written."""

import fcntl
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kimi_agent.config.file import read_source, short_path
from kimi_agent.core.errors import ConfigError

Changes = Mapping[tuple[str, ...], Any]


def save(path: Path, changes: Changes, *, forget: bool = False) -> None:
    """Set each key path of `changes` in the file at `path` (None removes it), keeping all else byte for byte.

    Read, change and replacement happen under one lock, the file before is kept as `config.toml.bak`, the mode is 0600.
    `forget` removes that copy instead, so that a removed secret is gone.
    Raises ConfigError for a file that cannot be read, parsed or written; that file is then left as it is.
    """
    import tomlkit  # 40 ms that only a save has to pay

    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _locked(path):
            source = read_source(path)
            if source.text.lstrip().startswith("{"):
                raise ConfigError(f"{source.name} is JSON, which is read but not written", "Rename it and use TOML.")
            document: Any = tomlkit.parse(source.text)
            for keys, value in changes.items():
                _set(document, keys, value)
            text = tomlkit.dumps(document)
            tomllib.loads(text)
            backup = path.with_name(path.name + ".bak")
            if source.text and not forget:
                _replace(backup, source.text)
            _replace(Path(os.path.realpath(path)), text)
            if forget:
                backup.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {short_path(path)}: {error.strerror or error}") from None


def _set(document: Any, keys: tuple[str, ...], value: Any) -> None:
    import tomlkit

    table = document
    for depth, key in enumerate(keys[:-1]):
        if key not in table:
            if value is None:
                return
            table[key] = tomlkit.table(is_super_table=depth < len(keys) - 2)
        table = table[key]
    if value is None:
        table.pop(keys[-1], None)
    else:
        table[keys[-1]] = value


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    """Atomically: a reader sees the old text or the new one. mkstemp makes the file 0600."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
