"""Steps for MCP servers: entries of other agents' files in the form of our mcp.json, which is that of kimi-cli."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kimi_agent.core.errors import ConfigError, SessionError
from kimi_migrate.records import read_bytes, read_json, table, text
from kimi_migrate.step import Server, Step, left

KEPT = frozenset(
    {
        "command", "args", "env", "cwd", "url", "headers", "transport", "auth", "enabled", "enabledTools",
        "disabledTools", "startupTimeoutMs", "toolTimeoutMs", "bearerTokenEnvVar",
    }
)  # fmt: skip
_CODEX = {"http_headers": "headers", "bearer_token_env_var": "bearerTokenEnvVar"}
_CODEX |= {"enabled_tools": "enabledTools", "disabled_tools": "disabledTools"}


class Servers:
    """Gathers the steps of one run; `taken` are the names of mcp.json and those that are planned."""

    def __init__(self, home: Path) -> None:
        """Raises ConfigError for an mcp.json that cannot be read: nothing must be added to that."""
        self.path = home / "mcp.json"
        try:
            present = read_json(self.path).get("mcpServers", {})
            if not isinstance(present, dict):
                raise SessionError("its mcpServers is no object")
        except SessionError as error:
            raise ConfigError(f"{self.path}: {error}", "Mend that file first; nothing was changed.") from None
        self.taken: dict[str, Any] = dict(present)

    def of_json(self, path: Path, note: str = "") -> Iterator[Step]:
        """`mcpServers` of a JSON file."""
        try:
            found = table(read_json(path).get("mcpServers"))
        except SessionError as error:
            yield left("MCP servers", path.name, path, str(error))
            return
        for name, entry in found.items():
            yield self.step(path, name, entry, note)

    def of_codex(self, path: Path) -> Iterator[Step]:
        """`[mcp_servers.NAME]` of a config.toml."""
        if not path.exists():
            return
        try:
            found = table(tomllib.loads(read_bytes(path).decode("utf-8", "replace")).get("mcp_servers"))
        except (SessionError, tomllib.TOMLDecodeError) as error:
            yield left("MCP servers", path.name, path, f"not valid TOML: {error}")
            return
        for name, given in found.items():
            entry = {_CODEX.get(key, key): value for key, value in table(given).items()}
            for theirs, ours in (("startup_timeout_sec", "startupTimeoutMs"), ("tool_timeout_sec", "toolTimeoutMs")):
                if isinstance(value := entry.pop(theirs, None), int | float) and 0 < value < 1e6:
                    entry[ours] = int(value * 1000)
            yield self.step(path, name, entry)

    def step(self, path: Path, name: str, given: Any, note: str = "") -> Step:
        entry, said = our_entry(table(given))
        note = "; ".join(filter(None, (note, said)))
        if not entry:
            return left("MCP server", name, path, said)
        if self.taken.get(name) == entry:
            return Step("MCP server", name, path, self.path, "there", "is here already")
        if name in self.taken:
            return left("MCP server", name, path, f"{self.path.name} has another server of that name")
        self.taken[name] = entry
        return Step("MCP server", name, path, self.path, "new", note, Server(name, entry))


def our_entry(given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """An entry of our mcp.json, and what of the other one is changed; an empty entry with the reason when there is none."""
    kind = text(given.get("type")) or text(given.get("transport"))
    entry = {key: value for key, value in given.items() if key in KEPT and key != "transport"}
    if text(given.get("command")):
        entry.pop("url", None)
    elif text(given.get("url")) and kind in ("", "http", "streamable-http", "streamableHttp", "streamable_http", "sse"):
        entry["transport"] = "sse" if kind == "sse" else "http"
    else:
        return {}, f"its kind {kind!r} is not known here" if kind else "it has neither a command nor an address"
    dropped = [key for key in given if key not in KEPT | {"type"}]
    notes = [f"without {', '.join(dropped)}"] if dropped else []
    if "${" in str(entry):
        notes.append("holds ${VARIABLES}")
    return entry, "; ".join(notes)
