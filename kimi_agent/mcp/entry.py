"""One entry of `mcpServers` to a `Server`: every spelling of kimi-cli, kimi-code, Claude Code, Cursor, Gemini and Codex."""

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from kimi_agent.core.sanitize import visible
from kimi_agent.mcp.definition import OAuth, Protocol, Scope, Server, Transport

T = TypeVar("T")

LONGEST_NAME = 64
_DAY = 86_400.0
_SUSPECTED, _LONGEST_KEY = 20, 40
"""How many unknown keys are looked at, and characters of one: it takes time, and strangers write entries."""
_UNFIT = re.compile("[\0\ud800-\udfff]")
_TRANSPORTS: dict[str, Transport] = {
    "stdio": "stdio", "local": "stdio", "http": "http", "streamablehttp": "http", "remote": "http", "sse": "sse",
}  # fmt: skip
_PROTOCOLS: dict[str, Protocol] = {"auto": "auto", "legacy": "legacy", "2026-07-28": "2026-07-28"}
_SPELLINGS = {
    "command": ("command",),
    "args": ("args",),
    "env": ("env", "environment"),
    "passEnv": ("passEnv", "env_vars"),
    "cwd": ("cwd",),
    "url": ("url", "httpUrl", "serverUrl"),
    "headers": ("headers", "http_headers"),
    "env_http_headers": ("env_http_headers",),
    "type": ("type", "transport", "transportType"),
    "enabled": ("enabled",),
    "disabled": ("disabled",),
    "startupTimeoutMs": ("startupTimeoutMs",),
    "startup_timeout_sec": ("startup_timeout_sec",),
    "toolTimeoutMs": ("toolTimeoutMs",),
    "tool_timeout_sec": ("tool_timeout_sec",),
    "timeout": ("timeout",),
    "enabledTools": ("enabledTools", "includeTools"),
    "disabledTools": ("disabledTools", "excludeTools"),
    "bearerTokenEnvVar": ("bearerTokenEnvVar", "bearerEnv"),
    "auth": ("auth",),
    "oauth": ("oauth",),
    "protocol": ("protocol",),
    "sampling": ("sampling",),
    "box": ("box",),
    "required": ("required",),
}


def _plain_key(key: str) -> str:
    return key.replace("_", "").replace("-", "").lower()


_KEYS = {_plain_key(spelling): key for key, spellings in _SPELLINGS.items() for spelling in spellings}
_OAUTH = {
    "clientid": "clientId", "clientsecretenv": "clientSecretEnv", "clientmetadataurl": "clientMetadataUrl",
    "callbackport": "callbackPort", "scopes": "scopes", "scope": "scopes", "clientsecret": "clientSecret",
}  # fmt: skip


class EntryError(ValueError):
    """What is wrong, in words; `key` is the key of the entry, as it is written there, that it is wrong with."""

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key


def parse_entry(name: str, given: Any, *, scope: Scope, source: str) -> tuple[Server, list[EntryError]]:
    """The server, and what is odd about it but does not keep it out. Raises EntryError for one that cannot be used."""
    check_name(name)
    if not isinstance(given, Mapping):
        raise EntryError("it is no object")
    fields = _Fields(given)
    command, args = _command(fields)
    url = fields.text("url").strip()
    oauth, auth, headers = _oauth(fields), fields.text("auth"), _headers(fields)
    if auth not in ("", "oauth"):  # fastmcp: a bearer token
        headers.setdefault("Authorization", f"Bearer {auth}")
    server = Server(
        name=name,
        scope=scope,
        transport=_transport(fields, command, url),
        source=source,
        command=command,
        args=args,
        env=fields.texts_by_name("env"),
        pass_env=fields.texts("passEnv"),
        cwd=fields.text("cwd"),
        url=url,
        headers=headers,
        bearer_env=fields.text("bearerTokenEnvVar"),
        auth="oauth" if auth == "oauth" or oauth is not None else "",
        oauth=oauth or OAuth(),
        enabled=fields.flag("enabled", True) and not fields.flag("disabled", False),
        required=fields.flag("required", False),
        startup_timeout=fields.seconds("startup_timeout_sec", "startupTimeoutMs"),
        tool_timeout=fields.seconds("tool_timeout_sec", "toolTimeoutMs", "timeout"),
        enabled_tools=fields.texts("enabledTools"),
        disabled_tools=fields.texts("disabledTools"),
        protocol=fields.one_of("protocol", _PROTOCOLS, "auto"),
        sampling=fields.flag("sampling", False),
        box=fields.flag("box", True),
    )
    return server, [*fields.notes, *_oddities(server, fields)]


def check_name(name: str) -> None:
    """Raises EntryError for a name that no server can have."""
    if not name.strip() or visible(name) != name or "\n" in name or "\t" in name:
        raise EntryError("its name is empty, or holds characters that cannot be seen")
    if len(name) > LONGEST_NAME:
        raise EntryError(f"its name is longer than {LONGEST_NAME} characters")
    if name.casefold() == "kimi":
        raise EntryError('the name "kimi" is our own; give it another one')


class _Fields:
    """The values of an entry by our name for the key; each is checked when it is asked for. Null is as good as absent."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given: dict[str, tuple[str, Any]] = {}
        self.notes: list[EntryError] = []
        self._unknown = 0
        for key, value in given.items():
            ours = _KEYS.get(_plain_key(key))
            if value is None or ours is None:
                self._suspect(key, ours)
                continue
            _check_texts(value, key)
            before = self._given.get(ours)
            if before is not None and before[1] != value:
                raise EntryError(f'"{before[0]}" and "{key}" say different things; keep one of them', key)
            self._given[ours] = key, value

    def _suspect(self, key: str, ours: str | None) -> None:
        """An unknown key is somebody else's, unless it is nearly one of ours."""
        self._unknown += ours is None
        if ours is not None or self._unknown > _SUSPECTED:
            return
        if near := difflib.get_close_matches(_plain_key(key[:_LONGEST_KEY]), _KEYS, n=1, cutoff=0.8):
            self.notes.append(EntryError(f'unknown key "{key}" (did you mean "{_KEYS[near[0]]}"?)', key))

    def has(self, key: str) -> bool:
        return key in self._given

    def key(self, key: str) -> str:
        """The key as it is written."""
        return self._given.get(key, (key, None))[0]

    def value(self, key: str) -> Any:
        return self._given.get(key, (key, None))[1]

    def wrong(self, key: str, expected: str) -> EntryError:
        return EntryError(f'"{self.key(key)}" must be {expected}', self.key(key))

    def text(self, key: str) -> str:
        value = self.value(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.wrong(key, "text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.value(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(map(_is_word, value)):
            raise self.wrong(key, "a list of texts")
        return tuple(map(_word, value))

    def texts_by_name(self, key: str) -> dict[str, str]:
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(item is None or _is_word(item) for item in value.values()):
            raise self.wrong(key, "an object of texts")
        return {name: _word(item) for name, item in value.items() if item is not None}

    def flag(self, key: str, default: bool) -> bool:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def one_of(self, key: str, known: Mapping[str, T], default: T) -> T:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in known:
            *others, last = known
            raise self.wrong(key, f"{', '.join(others)} or {last}")
        return known[value]

    def seconds(self, in_seconds: str, *in_milliseconds: str) -> float | None:
        """The first of these times that is given. A `timeout` below 1000 is in seconds, as some clients write it."""
        for key in (in_seconds, *in_milliseconds):
            value = self.value(key)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise self.wrong(key, "a time above 0")
            whole = key == in_seconds or (key == "timeout" and value < 1000)
            return min(float(value) if whole else value / 1000, _DAY)
        return None


def _is_word(value: Any) -> bool:
    """Numbers and truths are written without quotes where texts are meant."""
    return isinstance(value, str | int | float)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_texts(value: Any, key: str) -> None:
    """Raises EntryError for texts that no process and no request can be given."""
    if isinstance(value, str) and _UNFIT.search(value):
        raise EntryError(f'"{key}" holds a NUL or half a character', key)
    items = [*value.keys(), *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        _check_texts(item, key)


def _command(fields: _Fields) -> tuple[str, tuple[str, ...]]:
    """The program and its arguments; a list holds both."""
    args = fields.texts("args")
    if isinstance(fields.value("command"), list):
        program, *first = fields.texts("command") or ("",)
        return program, (*first, *args)
    return fields.text("command"), args


def _transport(fields: _Fields, command: str, url: str) -> Transport:
    written = fields.text("type")
    kind = _TRANSPORTS.get(_plain_key(written)) if written else None
    if written and kind is None:
        raise EntryError(f'the {fields.key("type")} "{written}" is none of stdio, http and sse', fields.key("type"))
    if command and url and kind is None:
        raise EntryError('it has both a "command" and a "url"; keep one of them', fields.key("url"))
    if kind is None:
        kind = "stdio" if command else "http"
    if kind == "stdio" and not command.strip():
        hint = f'; for a "url", leave "{fields.key("type")}" out or make it "http"' if url else ""
        raise EntryError(f'it has no "command"{hint}', fields.key("type"))
    if kind != "stdio":
        if not url.strip():
            raise EntryError('it has neither a "command" nor a "url"' if not written else 'it has no "url"')
        if not url.lower().startswith(("http://", "https://", "${")):
            raise EntryError('its "url" must begin with http:// or https://', fields.key("url"))
    return kind


def _headers(fields: _Fields) -> dict[str, str]:
    headers = fields.texts_by_name("headers")
    for name, variable in fields.texts_by_name("env_http_headers").items():
        headers[name] = f"${{{variable}}}"
    if any(set(name + value) & set("\r\n") for name, value in headers.items()):
        raise EntryError("a header holds a line break", fields.key("headers"))
    return headers


def _oauth(fields: _Fields) -> OAuth | None:
    """None where the entry says nothing of it."""
    given = fields.value("oauth")
    if given is None or isinstance(given, bool):
        return OAuth() if given else None
    if not isinstance(given, dict):
        raise fields.wrong("oauth", "an object")
    own = {_OAUTH.get(_plain_key(key), ""): value for key, value in given.items() if value is not None}
    key = fields.key("oauth")
    if "clientSecret" in own:
        raise EntryError('no "clientSecret" is read: name a variable with "clientSecretEnv"', key)
    scopes = own.get("scopes", [])
    scopes = scopes.split() if isinstance(scopes, str) else scopes
    port = own.get("callbackPort", 0)
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise EntryError('"scopes" must be a list of texts', key)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65536:
        raise EntryError('"callbackPort" must be a port', key)
    texts = {name: own.get(name, "") for name in ("clientId", "clientSecretEnv", "clientMetadataUrl")}
    if wrong := [name for name, value in texts.items() if not isinstance(value, str)]:
        raise EntryError(f'"{wrong[0]}" must be text', key)
    return OAuth(texts["clientId"], texts["clientSecretEnv"], texts["clientMetadataUrl"], port, tuple(scopes))


def _oddities(server: Server, fields: _Fields) -> list[EntryError]:
    """What may be a slip."""
    found = []
    if server.transport == "http" and not fields.has("type") and server.url.rstrip("/").endswith("/sse"):
        found.append(
            EntryError('its "url" looks like the old SSE transport: if so, add "type": "sse"', fields.key("url"))
        )
    if server.command and " " in server.command and not server.args and "/" not in server.command:
        found.append(
            EntryError('its "command" is one program: what follows it goes into "args"', fields.key("command"))
        )
    return found
