"""Which plugins there are and whether each may be loaded. Nothing of a plugin is run or imported here."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

import kimi_agent
from kimi_agent.core.errors import ConfigError
from kimi_agent.plugins.content import content_hash, stamp
from kimi_agent.plugins.entry_points import entry_points
from kimi_agent.plugins.manifest import check_name, manifest_file
from kimi_agent.plugins.records import Record, changing, plugins_folder, read_records

OFF = frozenset({"notebook", "research"})
"""Bundled plugins that wait for `kimi plugin enable NAME`."""
ABOUT = {
    "documents": "reads PDF, Word, Excel, PowerPoint and Jupyter notebooks",
    "migrate": "brings settings and sessions of kimi-cli, kimi-code, Claude Code and Codex over",
    "notebook": "stateful Python through a Jupyter kernel, with plots, and as an .ipynb",
    "research": "searches arXiv, keeps notes with checked quotes, writes reports with citations",
}
"""What the bundled Python plugins say of themselves, for those that are off: nothing of them is imported then."""

State = Literal["on", "off", "new", "changed", "broken"]


class Found(msgspec.Struct, frozen=True):
    """A plugin that is there. `new`: nobody has trusted it; `changed`: its files are not those that were trusted.

    A Python plugin has a `target` (`module:attribute`), every other one a `folder`. `problem` says why it is left out.
    """

    name: str
    origin: Literal["bundled", "python", "installed"]
    state: State
    folder: Path | None = None
    target: str = ""
    record: Record = msgspec.field(default_factory=Record)
    problem: str = ""


def find(home: Path, options: Mapping[str, Mapping[str, Any]]) -> list[Found]:
    """All plugins, by name. Of two with one name the bundled one holds, then the Python one; the other is broken."""
    problem = ""
    try:
        records = read_records(home)
    except ConfigError as error:
        records, problem = {}, error.full
    found: dict[str, Found] = {}
    clashes: list[Found] = []
    for one in (*_bundled(), *_python(), *_installed(home, records)):
        record = records.get(one.name)
        known = replace(one, record=record or one.record)
        if one.name in found:
            clashes.append(replace(known, state="broken", problem="there is another plugin of that name before it"))
            continue
        wanted = options.get(one.name, {}).get("enabled")
        if wanted is False or (record is not None and not record.enabled):
            known = replace(known, state="off", problem="")
        elif one.state == "off" and (record is not None or wanted is True):
            known = replace(known, state="on")
        found[one.name] = known
    if problem:
        clashes.append(Found("installed.json", "installed", "broken", problem=problem))
    return sorted([*found.values(), *clashes], key=lambda one: one.name)


def bundled_folder() -> Path:
    """Where the bundled folder plugins lie: inside an installed package, or beside it in the source tree."""
    package = Path(kimi_agent.__file__).parent
    tree = package.parent / "plugins"
    in_tree = not (package / "bundled").is_dir() and (package.parent / "pyproject.toml").is_file()
    return tree if in_tree else package / "bundled"


def _bundled() -> Iterator[Found]:
    for name in _folders(bundled_folder()):
        folder = bundled_folder() / name
        if manifest_file(folder) is not None:
            yield Found(name, "bundled", "off" if name in OFF else "on", folder)


def _python() -> Iterator[Found]:
    for name, target, ours in entry_points():
        yield Found(name, "bundled" if ours else "python", "off" if ours and name in OFF else "on", target=target)


def _installed(home: Path, records: Mapping[str, Record]) -> Iterator[Found]:
    folder = plugins_folder(home)
    names = _folders(folder)
    for name in names:
        try:
            check_name(name)
        except ConfigError as error:
            yield Found(name, "installed", "broken", folder / name, problem=str(error))
            continue
        record = records.get(name)
        if record is None or not record.hash:
            problem = f"nobody has trusted it yet. See what it does and trust it: kimi plugin enable {name}"
            yield Found(name, "installed", "new", folder / name, problem=problem)
        elif record.enabled and not _unchanged(home, name, folder / name, record):
            problem = f"its files changed since it was trusted. See what it does now: kimi plugin enable {name}"
            yield Found(name, "installed", "changed", folder / name, problem=problem)
        else:
            yield Found(name, "installed", "on", folder / name)
    for name in sorted(name for name, record in records.items() if record.hash and name not in names):
        problem = f"its folder is gone. Install it again, or: kimi plugin remove {name}"
        yield Found(name, "installed", "broken", folder / name, problem=problem)


def _folders(parent: Path) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(e.name for e in entries if not e.name.startswith((".", "_")) and _is_folder(e))
    except OSError:
        return []


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """A link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _unchanged(home: Path, name: str, folder: Path, record: Record) -> bool:
    """The hash is computed only when the stamp differs, as after a copy of the home; the new stamp is then noted."""
    try:
        now = stamp(folder)
        if now == record.stamp:
            return True
        if content_hash(folder) != record.hash:
            return False
    except (OSError, ConfigError):
        return False
    try:
        with changing(home) as records:
            if name in records and records[name].hash == record.hash:
                records[name].stamp = now
    except (OSError, ConfigError):  # a home that cannot be written to: it is computed again next time
        pass
    return True
