"""Writing the configuration file: comments and unknown keys survive, nobody else can read it, nothing is ever half written."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kimi_agent.config.file import Source, read_source, short_path
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.whole_file import locked, write_whole

Changes = Mapping[tuple[str, ...], Any]
Entries = Sequence[Mapping[str, Any]]


def save(path: Path, changes: Changes, *, append: Mapping[str, Entries] | None = None, forget: bool = False) -> None:
    """Set each key path of `changes` in the file at `path` (None removes it), keeping all else byte for byte.

    `append` adds entries to arrays of tables (`[[hooks]]`, `[[permission.rules]]`).
    An inline table or array that something is added to is written
    out as proper tables, for inline ones can hold no others.
    Read, change and replacement happen under one lock, the file before is kept as `config.toml.bak`, the mode is 0600.
    `forget` removes that copy instead, so that a removed secret is gone.
    Raises ConfigError for a file that cannot be read, parsed or written; that file is then left as it is.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path.with_name(path.name + ".lock")):
            source = read_source(path)
            if source.text.lstrip().startswith("{"):
                raise ConfigError(f"{source.name} is JSON, which is read but not written", "Rename it and use TOML.")
            text = _changed(source, changes, append or {})
            backup = path.with_name(path.name + ".bak")
            if source.text and not forget:
                write_whole(backup, source.text)
            write_whole(Path(os.path.realpath(path)), text)
            if forget:
                backup.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write {short_path(path)}: {error.strerror or error}") from None


def _changed(source: Source, changes: Changes, append: Mapping[str, Entries]) -> str:
    """The text of the file with all changes. Raises ConfigError for one that the text cannot take."""
    import tomlkit  # 40 ms that only a save has to pay

    ended = source.text if source.text.endswith("\n") or not source.text else f"{source.text}\n"
    document: Any = tomlkit.parse(ended)
    try:
        for keys, value in changes.items():
            _set(document, keys, value)
        for key, entries in append.items():
            _append(document, key, entries)
        text = tomlkit.dumps(document)
        tomllib.loads(text)
    except (ValueError, TypeError, tomlkit.exceptions.TOMLKitError) as error:
        what = ", ".join([*(".".join(keys) for keys in changes), *append])
        raise ConfigError(
            f"{source.name}: {what} cannot be set: {error}", "Write tables as [name], not inline, and try again."
        ) from None
    return text


def _set(document: Any, keys: tuple[str, ...], value: Any) -> None:
    import tomlkit

    table = document
    for depth, key in enumerate(keys[:-1]):
        if key not in table:
            if value is None:
                return
            table[key] = tomlkit.table(is_super_table=depth < len(keys) - 2)
        elif value is not None:
            _write_out(table, key)
        table = table[key]
    if value is None:
        table.pop(keys[-1], None)
    else:
        table[keys[-1]] = value


def _write_out(table: Any, key: str) -> None:
    """A table that is inline, or made of dotted keys, becomes a proper one after the keys that stand beside it."""
    from tomlkit.items import InlineTable, Table

    body = getattr(table.value if isinstance(table, Table) else table, "body", ())
    dotted = any(own is not None and own.is_dotted() and own == key for own, _ in body)
    if dotted or isinstance(table[key], InlineTable):
        table[key] = table.pop(key).unwrap()


def _append(document: Any, key: str, entries: Entries) -> None:
    import tomlkit
    from tomlkit.items import AoT

    table, dot, last = key.rpartition(".")
    if dot:
        if table not in document:
            document[table] = tomlkit.table(is_super_table=True)
        _write_out(document, table)
        document, key = document[table], last
    present = document.get(key)
    if not isinstance(present, AoT):
        inline = document.pop(key).unwrap() if present is not None else []
        present, entries = tomlkit.aot(), [*inline, *entries]
    for entry in entries:
        present.append(tomlkit.item(dict(entry)))
    document[key] = present
