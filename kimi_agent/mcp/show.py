"""A definition as people see it: as an entry of mcp.json, without its secrets, and whole where it is to be approved."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from msgspec.structs import replace

from kimi_agent.core.environment import holds_secret
from kimi_agent.core.redact import SHORTEST, is_secret_name
from kimi_agent.core.sanitize import visible
from kimi_agent.mcp.approvals import Approvals
from kimi_agent.mcp.definition import OAuth, Server
from kimi_agent.mcp.expand import REFERENCE, unset_variables

HIDDEN = "[redacted]"
_NAMED_VALUE = re.compile(r"(-{0,2}[A-Za-z_][\w-]*)(=|:\s*)(.+)", re.DOTALL)
_OPAQUE = re.compile(r"(?=\S*\d)[A-Za-z0-9_-]{24,}\Z")  # a part of a path that is a key


def as_entry(server: Server) -> dict[str, Any]:
    """What stands for it in mcp.json; what has its default is left out."""
    entry: dict[str, Any] = {}
    if server.transport == "stdio":
        entry |= {"command": server.command, "args": list(server.args), "env": server.env}
        entry |= {"passEnv": list(server.pass_env), "cwd": server.cwd}
    else:
        entry |= {"url": server.url, "transport": server.transport, "headers": server.headers}
        entry |= {"bearerTokenEnvVar": server.bearer_env, "auth": server.auth, "oauth": _oauth(server.oauth)}
    entry |= {
        "enabled": None if server.enabled else False,
        "required": server.required or None,
        "startupTimeoutMs": _milliseconds(server.startup_timeout),
        "toolTimeoutMs": _milliseconds(server.tool_timeout),
        "enabledTools": list(server.enabled_tools),
        "disabledTools": list(server.disabled_tools),
        "protocol": "" if server.protocol == "auto" else server.protocol,
        "sampling": server.sampling or None,
        "box": None if server.box else False,
    }
    return {key: value for key, value in entry.items() if value not in ("", None, [], {})}


def _oauth(oauth: OAuth) -> dict[str, Any]:
    entry = {
        "clientId": oauth.client_id, "clientSecretEnv": oauth.secret_env, "clientMetadataUrl": oauth.client_metadata_url,
        "callbackPort": oauth.callback_port, "scopes": list(oauth.scopes),
    }  # fmt: skip
    return {key: value for key, value in entry.items() if value}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


# --- secrets ----------------------------------------------------------------------------------------------------------


def redacted(server: Server) -> Server:
    """The same without values of its environment and headers, and without what in arguments and address looks like a key.

    References to variables stay: they say where a secret comes from.
    """
    return replace(  # type: ignore[type-var]
        server,
        command=_redacted_word(server.command),
        args=_redacted_args(server.args),
        env={name: _hidden(value) for name, value in server.env.items()},
        headers={name: _hidden(value) for name, value in server.headers.items()},
        url=_redacted_url(server.url),
    )


def _hidden(value: str) -> str:
    """Only references, and words too short for a secret around them, are left."""
    around = REFERENCE.sub("", value)
    return value if not value or (around != value and len(around) < SHORTEST) else HIDDEN


def _redacted_args(args: tuple[str, ...]) -> tuple[str, ...]:
    found, secret = list[str](), False
    for arg in args:
        found.append(_hidden(arg) if secret and not arg.startswith("-") else _redacted_word(arg))
        secret = arg.startswith("-") and "=" not in arg and _names_secret(arg)
    return tuple(found)


def _redacted_word(word: str) -> str:
    if "://" in word and "=" not in word.partition("://")[0]:
        return _redacted_url(word)
    match = _NAMED_VALUE.fullmatch(word)
    if match and _names_secret(match[1]):
        return f"{match[1]}{match[2]}{_hidden(match[3])}"
    return HIDDEN if holds_secret(word) else word


def _names_secret(name: str) -> bool:
    name = name.lstrip("-").replace("-", "_")
    return is_secret_name(name) or name.lower() == "authorization" or name.lower().endswith(("key", "token"))


def _redacted_url(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN
    host = parts.netloc.rpartition("@")
    path = "/".join(HIDDEN if _OPAQUE.match(part) else part for part in parts.path.split("/"))
    query = "&".join(_redacted_pair(pair) for pair in parts.query.split("&")) if parts.query else ""
    return urlunsplit(
        (parts.scheme, f"{HIDDEN}@{host[2]}" if host[1] else host[2], path, query, parts.fragment and HIDDEN)
    )


def _redacted_pair(pair: str) -> str:
    name, equals, value = pair.partition("=")
    return f"{name}{equals}{_hidden(value)}" if equals else _hidden(pair)


# --- words ------------------------------------------------------------------------------------------------------------


def state(server: Server, approvals: Approvals, folder: Path, env: Mapping[str, str]) -> str:
    """What it is before anything is started: `enabled`, `disabled`, `needs approval`, `unset variable NAME`."""
    if not server.enabled:
        return "disabled"
    if not approvals.holds(server, folder):
        return "needs approval"
    missing = unset_variables(server, env)
    return f"unset variable {', '.join(missing)}" if missing else "enabled"


def headline(server: Server) -> str:
    """What it runs or reaches, in one line, without secrets."""
    import shlex

    shown = redacted(server)
    text = shlex.join((shown.command, *shown.args)) if shown.transport == "stdio" else shown.url
    return visible(text).replace("\n", " ⏎ ").replace("\t", " ")


def description(server: Server) -> list[str]:
    """The whole definition, one line a fact, to be approved by it: nothing is cut, and what could mislead is spelled out.

    Of variables whose names tell of a secret, the value is left out; all others are shown, for they can change what is run.
    """
    import json

    lines = []
    for key, value in as_entry(server).items():
        if key in ("env", "headers"):
            secret = key == "headers"
            for name, text in value.items():
                shown = _hidden(text) if secret or is_secret_name(name) else text
                lines.append(f"{key:<11} {_quoted(name)}: {_quoted(shown)}")
        elif isinstance(value, list):
            lines += [f"{key:<11} {_quoted(item)}" for item in value]
        else:
            lines.append(f"{key:<11} {_quoted(value) if isinstance(value, str) else visible(json.dumps(value))}")
    return lines


def difference(before: Server, after: Server) -> list[str]:
    """Lines of both descriptions that are not the same, marked `-` and `+`."""
    import difflib

    lines = difflib.ndiff(description(before), description(after))
    changed = [line for line in lines if line.startswith(("-", "+"))]
    return changed or ["a value that is not shown here is another one"] * (before.digest != after.digest)


def _quoted(text: str) -> str:
    import json

    return visible(json.dumps(text, ensure_ascii=False))
