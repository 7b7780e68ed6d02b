"""`kimi mcp list` and `kimi mcp get`: what is written down, without secrets. `${VAR}` stays as it is."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kimi_agent.core.sanitize import visible

if TYPE_CHECKING:
    from kimi_agent.cli.mcp_found import Known
    from kimi_agent.mcp.definition import Server

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A server, as `kimi mcp list` calls it.")]


def list_servers(ctx: typer.Context, as_json: Json = False) -> None:
    """List the MCP servers of this folder and what is wrong with their files. Starts and reaches none."""
    from kimi_agent.cli.mcp_found import known, options_of
    from kimi_agent.mcp.show import headline

    found = known(options_of(ctx))
    servers, problems = found.found.servers, found.found.problems
    if as_json:
        rows = [_row(server, found) for server in servers]
        typer.echo(json.dumps({"servers": rows, "problems": problems}, ensure_ascii=False, indent=2))
        return
    if not servers and not problems:
        sys.stderr.write("kimi: there are no MCP servers. `kimi mcp add NAME URL` adds one.\n")
    width = max((len(server.name) for server in servers), default=0)
    for server in servers:
        state = visible(found.state(server))
        what = f"{visible(server.name):<{width}}  {server.scope:<7}  {server.transport:<5}  {state:<14}  {headline(server)}"
        typer.echo(what)
        if state == "needs approval":
            typer.echo(f"{'':{width}}  see it and approve it: kimi mcp approve {_word(server.name)}")
    for problem in problems:
        typer.echo(f"problem: {visible(problem)}")


def get(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one MCP server: where it is written, its state and its definition, without secrets."""
    from kimi_agent.cli.mcp_found import known, options_of
    from kimi_agent.mcp.show import description, redacted

    found = known(options_of(ctx))
    server = found.one(name)
    if as_json:
        typer.echo(json.dumps(_row(server, found), ensure_ascii=False, indent=2))
        return
    typer.echo(f"{visible(server.name)}: {visible(found.state(server))}")
    typer.echo(f"  {'from':<11} {visible(server.source)} ({server.scope})")
    for other in found.found.hidden:
        if other.name == server.name:
            typer.echo(f"  {'instead of':<11} {visible(other.source)} ({other.scope})")
    for line in description(redacted(server)):
        typer.echo(f"  {line}")


def _row(server: "Server", found: "Known") -> dict[str, Any]:
    from kimi_agent.mcp.show import as_entry, redacted

    return {
        "name": server.name,
        "scope": server.scope,
        "source": server.source,
        "transport": server.transport,
        "state": found.state(server),
        "enabled": server.enabled,
        "approved": found.approvals.holds(server, found.folder),
        "definition": as_entry(redacted(server)),
    }


def _word(name: str) -> str:
    import shlex

    return shlex.quote(name)
