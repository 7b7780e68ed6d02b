"""`kimi trust ...`: what of a folder may tell the model what to do."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kimi_agent.cli.options import Options, folder
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import visible

Yes = Annotated[bool, typer.Option("-y", "--yes", help="Trust what is shown without being asked.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
All = Annotated[bool, typer.Option("--all", help="Of every folder.")]
Folder = Annotated[Path | None, typer.Argument(metavar="[DIR]", help="This folder, if none is named.")]


class _Group(TyperGroup):
    """`kimi trust DIR` is `kimi trust add DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["add", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    text = "Show what a folder tells the model and trust it; list or take back what was trusted."
    group = typer.Typer(cls=_Group, help=text, rich_markup_mode=None, subcommand_metavar="[DIR] | COMMAND ...")
    group.command("add")(add)
    group.command("list")(list_folders)
    group.command("revoke")(revoke)
    app.add_typer(group, name="trust")


def add(ctx: typer.Context, where: Folder = None, yes: Yes = False) -> None:
    """Show the files of a folder that nobody has trusted yet, and trust them. Nothing of them is run."""
    from kimi_agent.agent.late import left_out
    from kimi_agent.build import build
    from kimi_agent.trust_question import listed

    options = _options(ctx)
    path = folder(where) if where is not None else options.cwd()
    agent = build(options.load(), cwd=path, home=options.home, trust="ask")
    trust, shown = agent.trust(path), set[str]()
    while left_out(agent, path):  # a file that is trusted may name others
        if trust.obstacle:
            raise ConfigError(f"{path} cannot be trusted: {trust.obstacle}")
        files = [file for file in trust.items() if file.digest not in shown]
        if not files:
            break
        sys.stderr.write(f"{listed(files)}\n\n")
        _ask(path, yes)
        trust.accept(files)
        shown |= {file.digest for file in files}
        typer.echo("\n".join(f"trusted: {visible(file.path)}" for file in files))
    if not shown:
        typer.echo("Nothing in this folder waits for trust.")


def list_folders(ctx: typer.Context, as_json: Json = False) -> None:
    """List the folders and files that are trusted."""
    from kimi_agent.trust.store import read_trust

    folders = read_trust(_options(ctx).home)
    if as_json:
        files = {path: {n: f.get("sha256", "") for n, f in e.get("files", {}).items()} for path, e in folders.items()}
        typer.echo(json.dumps(files, ensure_ascii=False, indent=2))
        return
    for path, entry in folders.items():
        typer.echo("\n  ".join([visible(path), *map(visible, entry.get("files", {}))]))
    if not folders:
        sys.stderr.write("kimi: no folder is trusted. `kimi trust [DIR]` trusts one.\n")


def revoke(ctx: typer.Context, where: Folder = None, everything: All = False) -> None:
    """Take trust back from a folder: its files are asked about again."""
    from kimi_agent.trust.store import forget, read_trust

    options = _options(ctx)
    if everything:
        gone = forget(options.home)
    else:
        path = (where or options.cwd()).expanduser().absolute()
        known = read_trust(options.home)  # a folder that is gone can be taken back, too
        gone = forget(options.home, path if str(path) in known else path.resolve())
    if not gone:
        raise ConfigError("that folder is not trusted", "`kimi trust list` shows those that are.")
    typer.echo("\n".join(f"no longer trusted: {visible(path)}" for path in gone))


def _options(ctx: typer.Context) -> Options:
    return ctx.find_object(Options) or Options()


def _ask(path: Path, yes: bool) -> None:
    """Raises ConfigError where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here: nothing was trusted", "Use --yes to trust what is shown above.")
    typer.confirm(f"Trust these files of {visible(str(path))}?", abort=True, err=True)
