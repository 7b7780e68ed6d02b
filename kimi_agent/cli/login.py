"""`kimi login`, `kimi logout`, and the first run. Keys are typed hidden or come on standard input, never as an argument."""

import json
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError, NoModelError

T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="The outcome as one JSON line on stdout.")]


def register(app: typer.Typer) -> None:
    app.command("login")(login)
    app.command("logout")(logout)


def login(
    ctx: typer.Context,
    provider: Annotated[
        str, typer.Option("--provider", metavar="NAME", help="moonshot, moonshot-cn, kimi-code, openrouter, ...")
    ] = "",
    base_url: Annotated[str, typer.Option("--base-url", metavar="URL", help="Address of the API.")] = "",
    model: Annotated[str, typer.Option("-m", "--model", metavar="ID", help="Model, as the API calls it.")] = "",
    as_json: Json = False,
) -> None:
    """Set up a provider: asks which, or takes --provider and the key on stdin. The key is tried by a real request."""
    from kimi_agent import login as flow
    from kimi_agent.cli.person import TerminalPerson

    path = (ctx.find_object(Options) or Options()).config_path
    if provider or base_url or not sys.stdin.isatty():
        chosen = flow.preset(provider or ("custom" if base_url else "moonshot"))
        chosen = replace(chosen, base_url=base_url or chosen.base_url)
        if not chosen.base_url:
            raise ConfigError(f"--provider {chosen.name} needs --base-url")
        account = _await(flow.login_directly(path, chosen, _read_key(chosen), model))
        sys.stderr.write(f"{chosen.label} answers. Saved in {path}; the model is {account.model}.\n")
        if account.note:
            sys.stderr.write(f"{account.note}\n")
    else:
        found = _await(flow.login(TerminalPerson(), path))
        if found is None:
            raise NoModelError("nothing was set up")
        account = found
    if as_json:
        line = {"type": "success", "provider": account.provider, "model": account.model, "path": str(account.path)}
        typer.echo(json.dumps(line, ensure_ascii=False))


def _read_key(chosen: "object") -> str:
    from kimi_agent.cli.person import TerminalPerson

    needs_key = getattr(chosen, "needs_key", True)
    if not needs_key and sys.stdin.isatty():
        return ""
    key = _await(TerminalPerson().ask_text("API key", secret=True)) or ""
    if needs_key and not key:
        raise ConfigError(
            "no API key was given", "Type it when asked, or pipe it in: `kimi login --provider NAME < keyfile`."
        )
    return key


def logout(
    ctx: typer.Context,
    provider: Annotated[str, typer.Argument(metavar="[PROVIDER]", help="Default: that of the default model.")] = "",
    as_json: Json = False,
) -> None:
    """Remove a provider's key from the config file, and from the copy of the file before."""
    from kimi_agent.config.edit import save
    from kimi_agent.config.load import read_file

    path = (ctx.find_object(Options) or Options()).config_path
    config = read_file(path)
    name = provider or (config.models[config.default_model].provider if config.default_model else "")
    if name not in config.providers:
        known = ", ".join(config.providers) or "none"
        raise ConfigError(f'there is no provider "{name}"' if name else "there is no default model", f"Known: {known}.")
    save(path, {("providers", name, "api_key"): None}, forget=True)
    if as_json:
        typer.echo(json.dumps({"type": "success", "provider": name, "path": str(path)}))
    else:
        typer.echo(f"The key of {name} is removed from {path}.")


def first_run(path: Path) -> None:
    """Lead a person who has no model yet through the set-up. Raises NoModelError when they give up."""
    from kimi_agent import login as flow
    from kimi_agent.cli.person import TerminalPerson

    person = TerminalPerson()
    person.show("Welcome to kimi. No model is set up yet.\n")
    if _await(flow.login(person, path)) is None:
        raise NoModelError("no model is configured", "Run `kimi login` when you have a key or a local server.")


def _await(work: Coroutine[Any, Any, T]) -> T:
    import asyncio  # not at the top: other subcommands do without

    return asyncio.run(work)
