"""`kimi mcp approve` and `kimi mcp revoke`: which servers of a project may be started."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import visible

if TYPE_CHECKING:
    from kimi_agent.cli.mcp_found import Known
    from kimi_agent.mcp.definition import Server

Name = Annotated[str, typer.Argument(metavar="NAME", help="A server, as `kimi mcp list` calls it.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Approve what is shown without being asked.")]


def approve(ctx: typer.Context, name: Name, yes: Yes = False) -> None:
    """Show all that a project's server runs or reaches, ask, and let it be started. Any change of it asks again."""
    from kimi_agent.cli.mcp_found import known, options_of

    found = known(options_of(ctx))
    server = found.one(name)
    if server.scope != "project":
        typer.echo(f"{visible(name)} needs no approval: it is in {visible(server.source)}")
        return
    sys.stderr.write("\n".join(_shown(server, found)) + "\n")
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError(
                "nobody can be asked here: nothing was approved", "Use --yes to approve what is shown above."
            )
        typer.confirm(f"Let {visible(name)} be started in this project?", abort=True, err=True)
    found.approvals.approve(server, found.folder)
    typer.echo(f"approved {visible(name)}")


def revoke(ctx: typer.Context, name: Name) -> None:
    """Take the approval of a project's server back."""
    from kimi_agent.cli.mcp_found import known, options_of

    found = known(options_of(ctx))
    if not found.approvals.revoke(name, found.folder):
        raise ConfigError(f"{visible(name)} is not approved in this project", "`kimi mcp list` shows what is.")
    typer.echo(f"{visible(name)} is no longer approved")


def _shown(server: "Server", found: "Known") -> list[str]:
    from kimi_agent.mcp.show import description, difference

    lines = [f'MCP server "{visible(server.name)}" of {visible(server.source)}:']
    lines += [f"  {line}" for line in description(server)]
    before = found.approvals.approved(server.name, found.folder)
    if before is not None and (changed := difference(before, server)):
        lines += ["It was approved before; what is different now:", *(f"  {line}" for line in changed)]
    return lines
