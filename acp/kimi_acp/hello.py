"""What `initialize` is answered: the same whatever is configured, so nothing has to be loaded for it."""

import os
import sys
from typing import Any

from kimi_agent import __version__

VERSION = 1
LOGIN = "kimi-login"
_CAPABILITIES = {
    "loadSession": True,
    "promptCapabilities": {"image": True, "audio": True, "embeddedContext": True},
    "mcpCapabilities": {"http": True, "sse": True},
    "sessionCapabilities": {
        "list": {}, "resume": {}, "close": {}, "delete": {}, "additionalDirectories": {}, "fork": {}, "title": {},
    },
    "auth": {"logout": {}, "status": {}},
}  # fmt: skip


def hello(params: dict[str, Any]) -> dict[str, Any]:
    """Whatever version is asked for, ours is 1: the client goes on with it or leaves."""
    drafts: dict[str, Any] = {"providers": {}} if takes_drafts(params) else {}
    return {
        "protocolVersion": VERSION,
        "agentCapabilities": {**_CAPABILITIES, **drafts},
        "agentInfo": {"name": "kimi", "title": "Kimi", "version": __version__},
        "authMethods": auth_methods(params),
    }


def auth_methods(params: dict[str, Any]) -> list[dict[str, Any]]:
    """A method of type `terminal` only for a client that has it; another one always, which older editors read `_meta` of."""
    command = [sys.executable, "-m", "kimi_agent"]
    if sys.argv[0].startswith("/") and os.access(sys.argv[0], os.X_OK) and not sys.argv[0].endswith(".py"):
        command = [sys.argv[0]]
    about = {"name": "Set up Kimi", "description": "Choose a provider and enter its key in a terminal (kimi login)."}
    by_terminal = {"command": command[0], "args": [*command[1:], "login"], "label": "kimi login", "env": {}}
    methods = [{"id": LOGIN, **about, "_meta": {"terminal-auth": by_terminal}}]
    if has(params, "auth", "terminal") is True:
        methods.insert(0, {"id": f"{LOGIN}-terminal", "type": "terminal", **about, "args": ["login"], "env": {}})
    return methods


def takes_drafts(params: dict[str, Any]) -> bool:
    """Whether a client names a draft itself: others hold an answer against the stable schema."""
    return (
        any(isinstance(has(params, name), dict) for name in ("plan", "subagents"))
        or has(params, "_meta", "drafts") is True
    )


def has(params: dict[str, Any], *path: str) -> Any:
    """A capability of the client; None where anything on the way to it is missing or of another type."""
    found: Any = params.get("clientCapabilities")
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found
