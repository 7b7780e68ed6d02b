"""`kimi mcp import`: servers of other programs into files of ours."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import visible

if TYPE_CHECKING:
    from kimi_agent.mcp.edit import Place
    from kimi_agent.mcp.importers import Step

Source = Annotated[
    str,
    typer.Argument(
        metavar="[claude|cursor|vscode|codex|kimi-cli|kimi-code|FILE]", help="Whose servers; all, if none is named."
    ),
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Add what is shown without being asked.")]
Force = Annotated[bool, typer.Option("--force", help="Replace servers of ours that differ.")]
Where = Annotated[str, typer.Option("-s", "--scope", metavar="SCOPE", help="user or local, for all of them.")]


def import_servers(
    ctx: typer.Context, source: Source = "", yes: Yes = False, force: Force = False, scope: Where = ""
) -> None:
    """Show which MCP servers other programs have, ask, and add them. Their files stay as they are."""
    from kimi_agent.cli.mcp_found import options_of
    from kimi_agent.mcp.edit import place_of
    from kimi_agent.mcp.importers import steps

    if scope not in ("", "user", "local"):
        raise ConfigError(f"--scope {visible(scope)}: user or local", "")
    options = options_of(ctx)
    folder = options.cwd()
    new: list[tuple[Place, Step]] = []
    found = steps(source, Path(os.path.expanduser("~")), folder, os.environ)  # noqa: PTH111 - there may be no home
    taken: set[tuple[str, str]] = set()
    for step in found:
        place = place_of(options.home, folder, scope or step.scope)
        if os.path.realpath(step.source) == os.path.realpath(place.path):
            continue  # our own file
        mark, note = _judge(step, place, force=force, again=(place.scope, step.name) in taken)
        typer.echo(f"{mark} {_line(step, place)}{f'  ({note})' if note else ''}")
        if mark == "+":
            new.append((place, step))
            taken.add((place.scope, step.name))
    if not new:
        typer.echo("Nothing to add.")
        return
    _ask(len(new), yes)
    for place, step in new:
        _write(place, step)
    typer.echo(f"added {len(new)}")


def _judge(step: "Step", place: "Place", *, force: bool, again: bool) -> tuple[str, str]:
    """`+` for what is to be added, `=` for what is here, `-` for what is left out; and a note."""
    from kimi_agent.mcp.importers import same

    if step.server is None:
        return "-", step.note
    there = place.entries().get(step.name)
    if again:
        return "-", "another program's one of that name is taken"
    if there is None:
        return "+", step.note
    if isinstance(there, dict) and same(there, step.server):
        return "=", "is here already"
    if force:
        return "+", "; ".join(filter(None, ("replaces the one that is here", step.note)))
    return "-", f"{place.path.name} has another server of that name: --force replaces it"


def _line(step: "Step", place: "Place") -> str:
    from kimi_agent.mcp.show import headline

    what = f"{visible(step.name)}  {place.scope}  {headline(step.server)}" if step.server else visible(step.name)
    return f"{what}  from {visible(step.source)}"


def _write(place: "Place", step: "Step") -> None:
    from kimi_agent.mcp.show import as_entry

    assert step.server is not None
    place.put(step.name, as_entry(step.server))


def _ask(count: int, yes: bool) -> None:
    """Raises ConfigError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here: nothing was added", "Use --yes to add what is shown above.")
    typer.confirm(f"Add {'this server' if count == 1 else f'these {count} servers'}?", abort=True, err=True)
