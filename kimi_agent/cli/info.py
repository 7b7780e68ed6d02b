"""`kimi info`: versions and places, for a bug report."""

import json
import os
import platform
from typing import Annotated

import typer

from kimi_agent import __version__
from kimi_agent.cli.options import Options


def register(app: typer.Typer) -> None:
    app.command("info")(info)


def info(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False
) -> None:
    """Print versions and places."""
    options = ctx.find_object(Options) or Options()
    facts = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "home": str(options.home),
        "config": str(options.config_path),
        "terminal": os.environ.get("TERM", ""),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<9} {value}")
