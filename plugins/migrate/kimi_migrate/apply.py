"""Making a plan true: everything is prepared beside its place, then put there; when one thing fails, all is taken back."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kimi_agent.config.edit import save
from kimi_agent.core.errors import ConfigError
from kimi_migrate.records import read_json, table
from kimi_migrate.step import Change, NewFile, NewFolder, NewHook, Server, Setting

NOTHING = "Nothing was brought over."


def apply(changes: Sequence[Change], home: Path) -> None:
    """Raises KimiError; then nothing has changed. What is there already is never written over."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as undo, tempfile.TemporaryDirectory(dir=home, prefix=".migrate-") as stage:
            files = [change for change in changes if isinstance(change, NewFile | NewFolder)]
            staged = [_prepare(change, Path(stage) / str(number)) for number, change in enumerate(files)]
            for change, ready in zip(files, staged, strict=True):
                _place(ready, change.path, undo)
            _add_servers(home / "mcp.json", [change for change in changes if isinstance(change, Server)], undo)
            _add_settings(home / "config.toml", changes)
            undo.pop_all()
    except FileExistsError as error:
        raise ConfigError(f"{error.filename2 or error.filename} is there now", NOTHING) from None
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or home}: {error.strerror or error}", NOTHING) from None


def _prepare(change: NewFile | NewFolder, ready: Path) -> Path:
    if isinstance(change, NewFolder):
        shutil.copytree(change.source, ready, ignore_dangling_symlinks=True)
        return ready
    _write(ready, change.make())
    if change.time:
        os.utime(ready, (change.time, change.time))
    return ready


def _write(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _place(ready: Path, target: Path, undo: ExitStack) -> None:
    """Move to where nothing is. Raises FileExistsError."""
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            undo.callback(folder.rmdir)
    if ready.is_dir():
        if os.path.lexists(target):
            raise FileExistsError(0, "", str(target))
        ready.rename(target)
        undo.callback(shutil.rmtree, target)
    else:
        target.hardlink_to(ready)
        undo.callback(target.unlink)


def _add_servers(path: Path, servers: Sequence[Server], undo: ExitStack) -> None:
    if not servers:
        return
    data = read_json(path)
    entries = dict(table(data.get("mcpServers")))
    for server in servers:
        entries.setdefault(server.name, server.entry)
    before = path.read_bytes() if path.exists() else None
    _replace(
        path, json.dumps({**data, "mcpServers": entries}, ensure_ascii=False, indent=2, default=str).encode() + b"\n"
    )
    if before is None:
        undo.callback(path.unlink)
    else:
        undo.callback(_replace, path, before)


def _replace(path: Path, data: bytes) -> None:
    real = Path(os.path.realpath(path))
    descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    os.close(descriptor)
    _write(Path(temporary), data)
    Path(temporary).replace(real)


def _add_settings(path: Path, changes: Sequence[Change]) -> None:
    """The last step: `save` keeps a copy of the file before, and changes nothing when it fails."""
    values: dict[tuple[str, ...], Any] = {c.keys: c.value for c in changes if isinstance(c, Setting)}
    hooks = [change.hook for change in changes if isinstance(change, NewHook)]
    if hooks:
        values["hooks",] = _with_hooks(path, hooks)
    if values:
        save(path, values)


def _with_hooks(path: Path, hooks: Sequence[Mapping[str, Any]]) -> Any:
    """The `[[hooks]]` of the file, comments and all, and these."""
    import tomlkit

    document: Any = tomlkit.parse(path.read_text("utf-8-sig") if path.exists() else "")
    present = document.get("hooks", tomlkit.aot())
    for hook in hooks:
        present.append(tomlkit.item(dict(hook)))
    return present
