"""What is written about an MCP server, as plain data: see docs/reference/mcp.md for the files that it comes from."""

import hashlib
import json
from typing import Literal, TypeAlias

from msgspec import to_builtins

from kimi_agent.core.record import Record

Scope: TypeAlias = Literal["user", "project", "local", "flag", "plugin", "client"]
"""Where a definition stands: `$KIMI_HOME/mcp.json`, `.mcp.json` of a project, the person's own file for one project, a flag, a
plugin, the editor at the other end of ACP. Only `project` is a stranger's, and waits for a person's approval."""
Transport: TypeAlias = Literal["stdio", "http", "sse"]
Protocol: TypeAlias = Literal["auto", "legacy", "2026-07-28"]


class OAuth(Record):
    """Options of OAuth for one server. `secret_env` names the variable with the client's secret, `callback_port` 0 is any."""

    client_id: str = ""
    secret_env: str = ""
    client_metadata_url: str = ""
    callback_port: int = 0
    scopes: tuple[str, ...] = ()


class Server(Record):
    """One entry. Values are as written: `${VAR}` is expanded only when the server is started (`expand`).

    `source` is the file and line for people. `pass_env` are names of variables that it gets from kimi's environment, `bearer_env`
    the variable with a bearer token. Times are in seconds, None for the configuration's; `tool_timeout` runs out when nothing,
    progress included, has come for so long. An empty `enabled_tools` means all. In `-p`, a `required` one is waited for, and
    nothing begins without it. `sampling` lets it ask for answers of the model. Where `box` is False it runs outside of the box.
    """

    name: str
    scope: Scope
    transport: Transport
    source: str = ""
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    pass_env: tuple[str, ...] = ()
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = {}
    bearer_env: str = ""
    auth: Literal["", "oauth"] = ""
    oauth: OAuth = OAuth()
    enabled: bool = True
    required: bool = False
    startup_timeout: float | None = None
    tool_timeout: float | None = None
    enabled_tools: tuple[str, ...] = ()
    disabled_tools: tuple[str, ...] = ()
    protocol: Protocol = "auto"
    sampling: bool = False
    box: bool = True

    @property
    def digest(self) -> str:
        """What an approval holds for: everything that says what runs, or who is talked to with which words (SHA-256, hex)."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def canonical(self) -> str:
        """The definition as JSON, without what only says where it stands, whether it is on, and how long is waited for it."""
        passed_over = ("name", "scope", "source", "enabled", "required", "startup_timeout", "tool_timeout", "type")
        built = {key: value for key, value in to_builtins(self).items() if key not in passed_over}
        return json.dumps(built, sort_keys=True, ensure_ascii=False)
