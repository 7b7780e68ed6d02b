"""`kimi mcp add`, `add-json`, `remove`, `enable` and `disable`: what changes the files of servers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import visible

if TYPE_CHECKING:
    from kimi_agent.cli.mcp_found import Known
    from kimi_agent.cli.options import Options
    from kimi_agent.mcp.edit import Place

Scope = Literal["user", "project", "local"]
Flag = typer.Option
Name = Annotated[str, typer.Argument(metavar="NAME", help="What the server is called.")]
Where = Annotated[
    Scope, Flag("-s", "--scope", help="user: everywhere; project: .mcp.json; local: in this project, for you.")
]
WhereFrom = Annotated[Scope | None, Flag("-s", "--scope", help="Where several have a server of that name.")]
Names = list[str] | None


def add(
    ctx: typer.Context,
    name: Name,
    target: Annotated[Names, typer.Argument(metavar="URL | -- COMMAND...", help="An address, or a program.")] = None,
    transport: Annotated[str, Flag("-t", "--transport", metavar="KIND", help="stdio, http or sse.")] = "",
    env: Annotated[Names, Flag("-e", "--env", metavar="KEY=VALUE", help="For its environment, repeatable.")] = None,
    header: Annotated[Names, Flag("-H", "--header", metavar="'KEY: VALUE'", help="For requests, repeatable.")] = None,
    auth: Annotated[str, Flag("-a", "--auth", metavar="oauth", help="How to log in there.")] = "",
    scope: Where = "user",
    bearer_env: Annotated[str, Flag("--bearer-env", metavar="VAR", help="Variable with a bearer token.")] = "",
    client_id: Annotated[str, Flag("--client-id", metavar="ID", help="For OAuth: a client that is registered.")] = "",
    client_secret_env: Annotated[
        str, Flag("--client-secret-env", metavar="VAR", help="For OAuth: variable with its secret.")
    ] = "",
    callback_port: Annotated[int, Flag("--callback-port", min=0, max=65535, metavar="N", help="For OAuth.")] = 0,
    scopes: Annotated[Names, Flag("--scopes", metavar="SCOPES", help="For OAuth: with blanks, repeatable.")] = None,
    startup_timeout: Annotated[float | None, Flag("--startup-timeout", metavar="SECONDS", help="To start.")] = None,
    tool_timeout: Annotated[float | None, Flag("--tool-timeout", metavar="SECONDS", help="For one call.")] = None,
    enable_tool: Annotated[Names, Flag("--enable-tool", metavar="TOOL", help="Only these, repeatable.")] = None,
    disable_tool: Annotated[Names, Flag("--disable-tool", metavar="TOOL", help="Not these, repeatable.")] = None,
    pass_env: Annotated[
        Names, Flag("--pass-env", metavar="VAR", help="Variable of yours that it gets, repeatable.")
    ] = None,
    cwd: Annotated[str, Flag("--cwd", metavar="DIR", help="Folder that it runs in.")] = "",
    no_box: Annotated[bool, Flag("--no-box", help="Run it outside of the box.")] = False,
) -> None:
    """Add an MCP server, or replace the one of that name. The program and what belongs to it stand behind --."""
    remote = transport not in ("", "stdio") or (not transport and _is_address(target))
    given: dict[str, Any] = {
        "type": transport or None,
        **_target(target or [], remote),
        "env": _pairs(env, "=", "--env"),
        "headers": _pairs(header, ":", "--header"),
        "auth": auth or None,
        "bearerTokenEnvVar": bearer_env or None,
        "oauth": _oauth(client_id, client_secret_env, callback_port, " ".join(scopes or ())),
        "startup_timeout_sec": startup_timeout,
        "tool_timeout_sec": tool_timeout,
        "enabledTools": enable_tool,
        "disabledTools": disable_tool,
        "passEnv": pass_env,
        "cwd": cwd or None,
        "box": False if no_box else None,
    }
    _check_flags(given, remote)
    _put(ctx, name, {key: value for key, value in given.items() if value}, scope, no_box=no_box)


def add_json(
    ctx: typer.Context,
    name: Name,
    text: Annotated[str, typer.Argument(metavar="JSON", help="""An entry, such as '{"url": "https://..."}'.""")],
    scope: Where = "user",
) -> None:
    """Add an MCP server as it stands in other programs' files."""
    from kimi_agent.mcp.document import parse_document

    _put(ctx, name, parse_document(text, "JSON").data, scope)


def remove(ctx: typer.Context, name: Name, scope: WhereFrom = None) -> None:
    """Remove an MCP server from its file."""
    from kimi_agent.cli.mcp_found import known, options_of

    place = _where(options_of(ctx), name, scope)
    found = known(options_of(ctx))
    place.remove(name)
    if place.scope == "project":
        found.approvals.revoke(name, found.folder)
    typer.echo(f"removed {visible(name)} from {place.path}")


def enable(ctx: typer.Context, name: Name, scope: WhereFrom = None) -> None:
    """Turn an MCP server on."""
    _switch(ctx, name, scope, True)


def disable(ctx: typer.Context, name: Name, scope: WhereFrom = None) -> None:
    """Turn an MCP server off; its entry stays."""
    _switch(ctx, name, scope, False)


# ----------------------------------------------------------------------------------------------------------------------


def _switch(ctx: typer.Context, name: str, scope: str | None, on: bool) -> None:
    from kimi_agent.cli.mcp_found import options_of

    place = _where(options_of(ctx), name, scope)
    if not place.enable(name, on):
        raise ConfigError(f"the entry of {visible(name)} in {place.path} is no object", "Mend it, or remove it.")
    typer.echo(f"{visible(name)} is {'on' if on else 'off'} in {place.path}")


def _put(ctx: typer.Context, name: str, given: dict[str, Any], scope: Scope, *, no_box: bool = False) -> None:
    """Write a checked entry. What the person adds to a project is approved by that. Raises ConfigError."""
    from kimi_agent.cli.mcp_found import known, options_of
    from kimi_agent.mcp.edit import place_of
    from kimi_agent.mcp.entry import EntryError, parse_entry
    from kimi_agent.mcp.show import as_entry

    options = options_of(ctx)
    try:
        server, notes = parse_entry(name, given | ({"box": False} if no_box else {}), scope=scope, source="")
    except EntryError as fault:
        raise ConfigError(f"{visible(name)} cannot be added: {fault}", "See `kimi mcp add --help`.") from None
    place = place_of(options.home, options.cwd(), scope)
    replaced = place.put(name, as_entry(server))
    typer.echo(f"{'replaced' if replaced else 'added'} {visible(name)} in {place.path}")
    for note in notes:
        typer.echo(f"  {note}")
    found = known(options)
    if scope == "project":
        written, _ = parse_entry(name, as_entry(server), scope=scope, source="")
        found.approvals.approve(written, found.folder)
    holds = found.one(name)
    if holds.scope != scope:
        typer.echo(f"  the one of {visible(holds.source)} ({holds.scope}) holds in this folder")


def _where(options: "Options", name: str, scope: str | None) -> "Place":
    """The one place that has an entry of that name, broken ones included. Raises ConfigError for none and for several."""
    from kimi_agent.cli.mcp_found import known
    from kimi_agent.mcp.edit import places

    found, faults = list["Place"](), list[ConfigError]()
    for place in places(options.home, options.cwd()):
        if scope in (None, place.scope):
            try:
                found += [place] if name in place.entries() else []
            except ConfigError as error:
                faults.append(error)
    if len({place.scope for place in found}) > 1:
        scopes = ", ".join(place.scope for place in found)
        raise ConfigError(f"{visible(name)} stands in several files ({scopes})", "Say which with --scope.")
    if found:
        return found[0]
    for fault in faults:
        raise fault
    raise _not_ours(known(options), name)


def _not_ours(found: "Known", name: str) -> ConfigError:
    server = found.one(name)  # raises where there is none at all
    hint = "`kimi plugin disable` turns the plugin off." if server.scope == "plugin" else ""
    return ConfigError(f"{visible(name)} is in no file that could be changed: it comes from {server.source}", hint)


def _is_address(target: Names) -> bool:
    return bool(target) and len(target or ()) == 1 and (target or [""])[0].lower().startswith(("http://", "https://"))


def _target(target: Sequence[str], remote: bool) -> dict[str, Any]:
    if not target:
        raise ConfigError("what is the server?", "Name its URL, or its program: kimi mcp add NAME -- npx some-server")
    if not remote:
        return {"command": target[0], "args": list(target[1:])}
    if len(target) > 1:
        raise ConfigError("a server that is reached has one URL, and nothing behind it", "A program stands behind --.")
    return {"url": target[0]}


def _check_flags(given: dict[str, Any], remote: bool) -> None:
    """Raises ConfigError for what would be left out without a word."""
    wrong = ("env", "passEnv", "cwd", "box") if remote else ("headers", "auth", "bearerTokenEnvVar", "oauth")
    flags = {
        "env": "--env", "passEnv": "--pass-env", "cwd": "--cwd", "box": "--no-box", "headers": "--header",
        "auth": "--auth", "bearerTokenEnvVar": "--bearer-env", "oauth": "--client-id and its kin",
    }  # fmt: skip
    for key in wrong:
        if given[key] not in (None, {}):
            kind = "a server that is reached by URL" if remote else "a program"
            raise ConfigError(f"{flags[key]} means nothing for {kind}", "" if remote else "For a URL, add -t http.")


def _pairs(items: Names, mark: str, flag: str) -> dict[str, str]:
    pairs = {}
    for item in items or ():
        name, found, value = item.partition(mark)
        if not found or not name.strip():
            raise ConfigError(f"{flag} {visible(name)[:40]!r} is not KEY{mark}VALUE")
        pairs[name.strip()] = value.strip() if mark == ":" else value
    return pairs


def _oauth(client_id: str, secret_env: str, port: int, scopes: str) -> dict[str, Any] | None:
    given = {"clientId": client_id, "clientSecretEnv": secret_env, "callbackPort": port, "scopes": scopes.split()}
    return {key: value for key, value in given.items() if value} or None
