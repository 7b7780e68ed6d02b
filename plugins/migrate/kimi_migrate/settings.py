"""Steps for config.toml: what is not set here yet is taken from another one, each entry only if the whole stays valid."""

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from kimi_agent.agent.tool_names import both_names
from kimi_agent.config.data import Config
from kimi_agent.config.file import Source, read_source
from kimi_agent.config.load import read_config
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.hook import HOOK_EVENTS
from kimi_migrate.step import NewHook, Setting, Step, left, there

TABLES = ("providers", "models", "services", "plugins")
"""Tables whose entries are taken one by one."""
LAST = ("default_model", "fallback_models")
"""Keys that name entries of those."""

_KEY = re.compile(
    r"((?:\bbearer|token|secret|passwd|password|api[_-]?key|\bauth)['\"]?\s*[=:\s]\s*['\"]?|://[^\s/:@'\"]*:|\b(?:sk|gh[a-z]|xox[a-z])[-_])"
    r"[^\s'\"&;|$`()<>@]{4,}",
    re.IGNORECASE,
)


class Settings:
    """Gathers the steps of one run. `data` is config.toml as it will be."""

    def __init__(self, home: Path) -> None:
        """Raises ConfigError for a config.toml that cannot be used."""
        self.path = home / "config.toml"
        source = read_source(self.path)
        read_config(source)
        self.data: dict[str, Any] = copy.deepcopy(source.data)

    def of_config(self, path: Path) -> Iterator[Step]:
        """What a config.toml or config.json has and ours has not. Keys are shown, values never: some are secrets."""
        if not path.is_file():
            return
        try:
            given = _without_nulls(read_source(path).data)
        except ConfigError as error:
            yield left("settings", path.name, path, str(error))
            return
        known = {field.name for field in fields(Config) if not field.metadata.get("internal")}
        ordered = sorted(given, key=lambda key: (key in LAST, key not in TABLES))
        for key in (key for key in ordered if key in known and key != "hooks"):
            if key in TABLES and isinstance(given[key], dict):
                for name, value in given[key].items():
                    yield self._set(path, (key, name), value)
            else:
                yield self._set(path, (key,), given[key])
        for hook in given.get("hooks", ()) if isinstance(given.get("hooks"), list) else ():
            if isinstance(hook, dict):
                yield self._their_hook(path, hook)
        if unknown := [key for key in given if key not in known]:
            yield left("settings", ", ".join(unknown), path, "have no meaning here")

    def _their_hook(self, path: Path, hook: Mapping[str, Any]) -> Step:
        event, given = str(hook.get("event")), hook.get("matcher")
        if event not in HOOK_EVENTS:
            name = f"{event}: {without_keys(str(hook.get('command')))}"
            return left("hook", name, path, "that event does not happen here")
        matcher = both_names(event, given) if isinstance(given, str) else given
        if matcher == given:
            return self.hook(path, hook)
        return self.hook(path, {**hook, "matcher": matcher}, f"matcher {given} is {matcher} here")

    def hook(self, path: Path, hook: Mapping[str, Any], note: str = "") -> Step:
        name = f"{hook.get('event')} {hook.get('matcher', '')}".strip() + f": {without_keys(str(hook.get('command')))}"
        hooks = self.data.get("hooks", [])
        if any(dict(mine) == dict(hook) for mine in hooks):
            return there("hook", name, path, "is here already")
        if reason := self._refusal({**self.data, "hooks": [*hooks, dict(hook)]}):
            return left("hook", name, path, reason)
        self.data["hooks"] = [*hooks, dict(hook)]
        return Step("hook", name, path, self.path, "new", note, NewHook(hook))

    def _set(self, path: Path, keys: tuple[str, ...], value: Any) -> Step:
        name = ".".join(keys)
        table = self.data.get(keys[0], {}) if len(keys) > 1 else self.data
        if not isinstance(table, dict) or keys[-1] in table:
            same = isinstance(table, dict) and table[keys[-1]] == value
            return (
                there("setting", name, path, "is here already") if same else left("setting", name, path, "is set here")
            )
        changed = copy.deepcopy(self.data)
        (changed.setdefault(keys[0], {}) if len(keys) > 1 else changed)[keys[-1]] = value
        if reason := self._refusal(changed):
            return left("setting", name, path, reason)
        self.data = changed
        oauth = isinstance(value, dict) and "oauth" in value
        note = "a login is not brought over: run kimi login" if oauth else ""
        return Step("setting", name, path, self.path, "new", note, Setting(keys, value))

    @staticmethod
    def _refusal(data: dict[str, Any]) -> str:
        """Why our config.toml could not be this; empty when it can."""
        try:
            read_config(Source("config.toml", "", data))
        except ConfigError as error:
            return str(error).splitlines()[0].removeprefix("config.toml: ")
        return ""


def without_keys(command: str) -> str:
    """A command to be shown. What looks like a key or a password is not; what a shell would run always is."""
    return _KEY.sub(r"\1***", command)


def _without_nulls(value: Any) -> Any:
    """JSON says null for what is not set, TOML says nothing."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value
