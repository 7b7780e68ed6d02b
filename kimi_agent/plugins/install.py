"""Installing, trusting and removing. What is put in place is what the person was shown, byte for byte, or nothing is."""

import json
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.json_schema import problem_with
from kimi_agent.core.sanitize import plain, visible
from kimi_agent.plugins.bundle import in_folder, inside
from kimi_agent.plugins.content import content_hash, copy_folder, stamp
from kimi_agent.plugins.entry_points import entry_points
from kimi_agent.plugins.find import bundled_folder
from kimi_agent.plugins.manifest import Manifest, manifest_file, one_line, read_manifest
from kimi_agent.plugins.records import Record, changing, plugins_folder
from kimi_agent.plugins.source import Fetched

_STAGING = ".staging"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plugin that is about to be trusted. `hash` is that of its files as they were shown."""

    manifest: Manifest
    hash: str
    source: str = ""
    commit: str = ""


def examine(fetched: Fetched) -> Candidate:
    """Raises ConfigError for a plugin that cannot be installed."""
    content = content_hash(fetched.folder)  # before it is read: what changes from here on is noticed
    manifest = read_manifest(fetched.folder)
    ours = any(name == manifest.name for name, _, bundled in entry_points() if bundled)
    if ours or manifest_file(bundled_folder() / manifest.name) is not None:
        raise ConfigError(f"the plugin {manifest.name} comes with kimi", f"kimi plugin enable {manifest.name}")
    return Candidate(manifest, content, fetched.source, fetched.commit)


def describe(candidate: Candidate, before: Record | None = None) -> list[str]:
    """What the person is asked to trust: where it comes from, and every command that it brings."""
    manifest = candidate.manifest
    lines = [
        f"{manifest.name} {manifest.version}".rstrip() + (f": {manifest.description}" if manifest.description else "")
    ]
    lines += [f"  source   {_shown(candidate.source)}"] if candidate.source else []
    lines += [f"  commit   {candidate.commit}"] if candidate.commit else []
    lines.append(f"  content  sha256:{candidate.hash}")
    if before is not None and before.content:
        same = "as it is installed" if before.content == candidate.hash else f"was sha256:{before.content}"
        lines.append(f"           {same}{f' ({_shown(before.version)})' if before.version else ''}")
    adds = list(_adds(manifest)) or ["nothing that this version of kimi knows"]
    return [*lines, "It adds:", *(f"  {line}" for line in adds)]


def _adds(manifest: Manifest) -> Iterator[str]:
    """Commands are shown whole: what is hidden behind an ellipsis is not agreed to."""
    for tool in manifest.tools:
        yield f"tool {tool.name}, which runs: {_shown(shlex.join(tool.command))}"
        if problem := problem_with(dict(tool.parameters)):
            yield f"  (it cannot be called: {one_line(problem)})"
    for hook in manifest.hooks:
        what = f"hook at {_shown(hook.event)} {_shown(hook.matcher)}".rstrip()
        where = " in its folder" if in_folder(manifest.folder) in hook.command else ""
        yield f"{what}, which runs{where}: {_shown(hook.shown)}"
    for name, server in manifest.mcp_servers.items():
        yield f"MCP server {_shown(name)}: {_shown(_server(server, manifest.folder))}"
    for what, folders in (("skills", manifest.skills), ("agents", manifest.agents), ("commands", manifest.prompts)):
        for path in folders:
            names = sorted(os.listdir(path)) if path.is_dir() else [_below(path, manifest.folder)]  # noqa: PTH208
            yield f"{what}: {one_line(', '.join(name.removesuffix('.md') for name in names), 500)}"
    if manifest.inject:
        wanted = ", ".join(sorted(set(manifest.inject.values())))
        yield f"WANTS YOUR {_shown(wanted)}, to be written to {_shown(manifest.config_file)}"
    yield from (f"left out: {_shown(text)}" for text in manifest.problems)
    yield from (f"note: {_shown(text)}" for text in manifest.notes)


def _below(path: Path, folder: Path) -> str:
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))


def _server(server: Mapping[str, Any], folder: Path) -> str:
    """The command or address of an MCP server, and all else that is said of it: its environment can change what is run.

    The plugin's folder is shown as `${KIMI_PLUGIN_ROOT}`: where its files lie now is not where they will.
    """
    rest = dict(server)
    words = [rest.pop("command" if isinstance(rest.get("command"), str) else "url")]
    if isinstance(rest.get("args"), list):
        words += map(str, rest.pop("args"))
    text = " ".join([shlex.join(words), *(f"{key}={json.dumps(rest[key], ensure_ascii=False)}" for key in rest)])
    return text.replace(os.path.realpath(folder), "${KIMI_PLUGIN_ROOT}").replace(str(folder), "${KIMI_PLUGIN_ROOT}")


def _shown(text: str) -> str:
    return visible(plain(text)).replace("\n", " ⏎ ")


def install(home: Path, candidate: Candidate, keys: Mapping[str, str] | None = None) -> Path:
    """Put the plugin in place of one of the same name, and trust it; answers its folder.

    `keys` are `api_key` and `base_url` when the person lets the plugin have them. A kill leaves the old plugin, the new one,
    or one that is named and left out; never half of one. Raises ConfigError when the files are not those that were shown.
    """
    name = candidate.manifest.name
    folder, staging = plugins_folder(home) / name, plugins_folder(home) / _STAGING
    with changing(home) as records:
        shutil.rmtree(staging, ignore_errors=True)  # what a killed installation left
        copy_folder(candidate.manifest.folder, staging / "new")
        if content_hash(staging / "new") != candidate.hash:
            raise ConfigError("its files changed while you were asked", "Nothing was installed; try again.")
        if keys:
            write_keys(staging / "new", candidate.manifest, keys)
        record = Record(
            True, candidate.manifest.version, candidate.source, candidate.commit, candidate.hash,
            content_hash(staging / "new"),
        )  # fmt: skip
        if os.path.lexists(folder):
            folder.rename(staging / "old")
        (staging / "new").rename(folder)
        record.stamp = stamp(folder)
        records[name] = record
    shutil.rmtree(staging, ignore_errors=True)
    return folder


def trust(home: Path, candidate: Candidate) -> None:
    """Trust the files that lie in the plugin's folder, if they are still those that were shown. Raises ConfigError."""
    manifest = candidate.manifest
    now = stamp(manifest.folder)
    if content_hash(manifest.folder) != candidate.hash:
        raise ConfigError("its files changed while you were asked", "Nothing was trusted; try again.")
    with changing(home) as records:
        before = records.get(manifest.name) or Record()
        records[manifest.name] = Record(
            True, manifest.version, before.source, before.commit, candidate.hash, candidate.hash, now
        )


def set_enabled(home: Path, name: str, enabled: bool) -> None:
    with changing(home) as records:
        records.setdefault(name, Record()).enabled = enabled


def remove(home: Path, name: str) -> None:
    """Delete the plugin's folder and its record."""
    folder, staging = plugins_folder(home) / name, plugins_folder(home) / _STAGING
    with changing(home) as records:
        shutil.rmtree(staging, ignore_errors=True)
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            staging.mkdir()
            folder.rename(staging / "old")
        records.pop(name, None)
    shutil.rmtree(staging, ignore_errors=True)


def write_keys(folder: Path, manifest: Manifest, keys: Mapping[str, str]) -> None:
    """Write what the plugin asks for into its config file, which nobody else may then read. Raises ConfigError."""
    path = inside(folder, manifest.config_file)
    missing = sorted(set(manifest.inject.values()) - {name for name, value in keys.items() if value})
    if path is None or missing:
        raise ConfigError(f"there is no {', '.join(missing) or 'config file'} that it could have")
    config: Any = {}
    try:
        if path.exists():
            config = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"its {manifest.config_file} cannot be read: {error}") from None
    for target, source in manifest.inject.items():
        table = config
        *above, last = target.split(".")
        for key in above:
            if not isinstance(table.get(key), dict):
                table[key] = {}
            table = table[key]
        table[last] = keys[source]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(config, ensure_ascii=False, indent=2), "utf-8")
