"""`kimi config ...`: where the configuration is, and what it comes to."""

import dataclasses
import json
from typing import Any

import typer

from kimi_agent.cli.options import Options

SECRET = ("api_key", "custom_headers", "env")


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Where the configuration is, and what it comes to.", rich_markup_mode=None)
    group.command("path")(path)
    group.command("show")(show)
    app.add_typer(group, name="config", no_args_is_help=True)


def path(ctx: typer.Context) -> None:
    """Print the path of the config file."""
    typer.echo(str((ctx.find_object(Options) or Options()).config_path))


def show(ctx: typer.Context) -> None:
    """Print the configuration as JSON: file and environment together, secrets left out."""
    config = (ctx.find_object(Options) or Options()).load()
    typer.echo(json.dumps(_redacted(dataclasses.asdict(config)), indent=2, ensure_ascii=False, default=_plain))


def _redacted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(entry) if key in SECRET else _redacted(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(entry) for entry in value]
    return value


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(entry) for key, entry in value.items()}
    return "***" if value else value


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, frozenset) else str(value)
