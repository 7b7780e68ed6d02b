"""`${VAR}` and `${VAR:-default}` in a definition, filled in when a server is started, and never before."""

import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from msgspec.structs import replace

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.redact import is_secret_name
from kimi_agent.core.sanitize import visible
from kimi_agent.mcp.definition import Server

REFERENCE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_INPUT = re.compile(r"\$\{input:[^}]*\}")
_OURS = ("KIMI_", "MOONSHOT_")
_STRANGERS = ("project", "plugin")


def expand(server: Server, env: Mapping[str, str]) -> Server:
    """The server with the values of variables in command, arguments, cwd, environment, address and headers.

    A bearer token joins the headers as `Authorization`, unless there is one; a leading `~/` of command and cwd is filled in.
    Raises ConfigError that names the first variable that is not set, for an address that is none, and for a server of a project
    or plugin that asks for a key of kimi's own. What an editor has given is complete, and stays as it is.
    """
    if server.scope == "client":
        return server
    for variable in (*server.pass_env, *filter(None, (server.bearer_env, server.oauth.secret_env))):
        _refuse_own(server, variable, env)
    if server.bearer_env and not env.get(server.bearer_env):
        raise _unset(server, server.bearer_env)

    def filled(text: str) -> str:
        if found := _INPUT.search(text):
            hint = "Put it into a variable of your environment and write ${NAME}."
            raise ConfigError(f"{_named(server)}: {visible(found[0])} is a question that VS Code asks", hint)
        return REFERENCE.sub(lambda match: _value(server, match[1], match[2], env), text)

    headers = {name: filled(value) for name, value in server.headers.items()}
    if server.bearer_env and "authorization" not in map(str.lower, headers):
        headers["Authorization"] = f"Bearer {env[server.bearer_env]}"
    ready: Server = replace(  # type: ignore[type-var]
        server,
        command=_home(filled(server.command)),
        args=tuple(map(filled, server.args)),
        cwd=_home(filled(server.cwd)),
        env={name: filled(value) for name, value in server.env.items()},
        url=filled(server.url),
        headers=headers,
    )
    _check_address(ready)
    return ready


def _check_address(server: Server) -> None:
    """Raises ConfigError for an address that is none of the web. It may hold secrets, so it is not told."""
    if server.transport == "stdio":
        return
    try:
        parts = urlsplit(server.url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        hint = f"Look at {server.source}." if server.source else ""
        raise ConfigError(f"{_named(server)}: its url is no http address", hint)


def unset_variables(server: Server, env: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the variables without which it cannot be started, each once."""
    used = [match for text in _texts(server) for match in REFERENCE.finditer(text)]
    missing = [match[1] for match in used if match[2] is None and match[1] not in env]
    if server.bearer_env and not env.get(server.bearer_env):
        missing.append(server.bearer_env)
    return tuple(dict.fromkeys(missing))


def _texts(server: Server) -> Iterator[str]:
    yield from (server.command, *server.args, server.cwd, *server.env.values(), server.url, *server.headers.values())


def _value(server: Server, name: str, default: str | None, env: Mapping[str, str]) -> str:
    _refuse_own(server, name, env)
    value = env.get(name)
    if default is not None:
        return value or default  # as shells do it: an empty one is as good as none
    if value is None:
        raise _unset(server, name)
    return value


def _refuse_own(server: Server, name: str, env: Mapping[str, str]) -> None:
    """Kimi's own keys are for nobody whose definition the person has not written. `name` may be a pattern, `PREFIX_*`."""
    if server.scope not in _STRANGERS:
        return
    meant = [key for key in env if key.startswith(name[:-1])] if name.endswith("*") else [name]
    if any(key.upper().startswith(_OURS) and is_secret_name(key) for key in meant):
        raise ConfigError(f"{_named(server)} asks for {visible(name)}, which is kimi's own: it gets no such thing")


def _unset(server: Server, name: str) -> ConfigError:
    hint = f"Set {name}, or write ${{{name}:-default}} in {server.source}." if server.source else f"Set {name}."
    return ConfigError(f"{_named(server)}: the variable {name} is not set", hint)


def _named(server: Server) -> str:
    return f'MCP server "{visible(server.name)}"'


def _home(path: str) -> str:
    return os.path.expanduser(path) if path.startswith("~/") else path  # noqa: PTH111 - a text, of which no path is made yet
