"""`kimi mcp test NAME`: connect to one server as a session would, and say what came of it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from kimi_agent.core.exit import ExitCode

if TYPE_CHECKING:
    from kimi_agent.core.servers import ServerState

Name = Annotated[str, typer.Argument(metavar="NAME", help="A server, as `kimi mcp list` calls it.")]


def test(ctx: typer.Context, name: Name) -> None:
    """Connect to an MCP server and show what it offers, or why that fails. The exit code is 1 when it does."""
    from kimi_agent.cli.mcp_found import known, options_of
    from kimi_agent.mcp_servers import try_server

    options = options_of(ctx)
    found = known(options)
    server = found.startable(name)
    state = asyncio.run(try_server(options.load(), found.home, found.folder, server, found.approvals))
    for line in report(state):
        typer.echo(line)
    raise typer.Exit(ExitCode.DONE if state.status == "ready" else ExitCode.FAILED)


def report(state: "ServerState") -> list[str]:
    """What there is to know of a server, for people."""
    mark = {"ready": "ok", "needs-auth": "sign in", "needs-approval": "not approved"}.get(state.status, state.status)
    lines = [f"{state.name}: {mark}" + (f" - {state.detail}" if state.detail else "")]
    facts = (
        ("server", state.version),
        ("protocol", state.protocol),
        ("box", state.box),
        ("offers", f"{len(state.tools)} tools, {state.prompts} prompts, {state.resources} resources"),
    )
    if state.status == "ready":
        lines += [f"  {key:<9} {text}" for key, text in facts if text]
        lines += [f"  tool      {name}" for name, _ in state.tools]
    lines += [f"  left out  {name}: {reason}" for name, reason in state.dropped]
    lines += [f"  held back {held.name}: it is not what it was; /mcp shows the change" for held in state.held]
    lines += [f"  stderr    {line}" for line in state.stderr[-10:]]
    if hint := state.hint.removeprefix(f"Try it: kimi mcp test {state.name}").removeprefix(". "):
        lines.append(f"  {hint}")
    return lines
