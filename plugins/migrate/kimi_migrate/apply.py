"""Making a plan true: everything is prepared beside its place, then put there; when one thing fails, all is taken back."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from kimi_agent.config.edit import save
from kimi_agent.config.file import read_source, short_path
from kimi_agent.core.errors import ConfigError
from kimi_migrate.records import read_bytes, read_json, table
from kimi_migrate.step import Change, NewFile, NewFolder, NewHook, Server, Setting

NOTHING = "Nothing was brought over."
STAGE = ".migrate-"


def apply(changes: Sequence[Change], home: Path) -> None:
    """Raises KimiError; then nothing has changed. What is there already is never written over."""
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as undo, _stage(home) as stage:
            files = [change for change in changes if isinstance(change, NewFile | NewFolder)]
            staged = [_prepare(change, stage / str(number)) for number, change in enumerate(files)]
            for change, ready in zip(files, staged, strict=True):
                _place(ready, change.path, undo)
            _add_servers(home / "mcp.json", [change for change in changes if isinstance(change, Server)], undo)
            _add_settings(home / "config.toml", changes)
            undo.pop_all()
    except FileExistsError as error:
        raise ConfigError(f"{error.filename2 or error.filename} is there now", NOTHING) from None
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or home}: {error.strerror or error}", NOTHING) from None


@contextmanager
def _stage(home: Path) -> Iterator[Path]:
    """A folder that is locked while it is used; one that nobody holds is what a killed run has left, and is removed."""
    for old in home.glob(f"{STAGE}*"):
        descriptor = os.open(old, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    with tempfile.TemporaryDirectory(dir=home, prefix=STAGE) as stage:
        descriptor = os.open(stage, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(stage)
        finally:
            os.close(descriptor)


def _prepare(change: NewFile | NewFolder, ready: Path) -> Path:
    if isinstance(change, NewFolder):
        for file in change.files:
            (ready / file).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(ready / file, read_bytes(change.source / file))
            (ready / file).chmod(0o600 | (change.source / file).stat().st_mode & 0o100)  # scripts stay scripts
        return ready
    _write(ready, change.make())
    if change.time:
        os.utime(ready, (change.time, change.time))
    return ready


def _write(path: Path, data: bytes) -> None:
    """A new file that only its owner can read; none when that fails. Raises FileExistsError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            path.unlink()
            raise


def _place(ready: Path, target: Path, undo: ExitStack) -> None:
    """Move to where nothing is. Raises FileExistsError."""
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            undo.callback(folder.rmdir)
    if ready.is_dir():
        if os.path.lexists(target):
            raise FileExistsError(0, "", str(target))
        shutil.move(ready, target)  # copies where `target` is on another disk
        undo.callback(shutil.rmtree, target)
    else:
        _link(ready, target)
        undo.callback(target.unlink)


def _link(ready: Path, target: Path) -> None:
    """Raises FileExistsError, as no rename does."""
    try:
        target.hardlink_to(ready)
    except FileExistsError:
        raise
    except OSError:  # another disk, or one without links
        _write(target, ready.read_bytes())
        shutil.copystat(ready, target)


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
    with tempfile.TemporaryDirectory(dir=real.parent, prefix=STAGE) as folder:
        ready = Path(folder) / real.name
        _write(ready, data)
        ready.replace(real)


def _add_settings(path: Path, changes: Sequence[Change]) -> None:
    """The last step: `save` keeps a copy of the file before, and changes nothing when it fails."""
    values: dict[tuple[str, ...], Any] = {c.keys: c.value for c in changes if isinstance(c, Setting)}
    present = read_source(path).data
    for keys in values:
        if keys[-1] in (table(present.get(keys[0])) if len(keys) > 1 else present):
            raise ConfigError(f"{'.'.join(keys)} is set in {short_path(path)} now", NOTHING)
    hooks = [change.hook for change in changes if isinstance(change, NewHook)]
    if values or hooks:
        save(path, values, append={"hooks": hooks} if hooks else None)
