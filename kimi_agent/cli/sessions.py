"""`kimi sessions ...`: what is on disk, without starting an agent."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError, SessionError
from kimi_agent.core.sanitize import plain

Id = Annotated[str | None, typer.Argument(metavar="[ID]", help="A session id, or a unique beginning of one.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Out = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where to; `-` is stdout.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
Everywhere = Annotated[bool, typer.Option("-a", "--all", help="Of every folder, not only this one.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="List, show, search, export and delete sessions.", rich_markup_mode=None)
    for function in (list_sessions, show, search, export, delete):
        name = "list" if function is list_sessions else function.__name__
        group.command(name)(function)
    app.add_typer(group, name="sessions", no_args_is_help=True)
    app.command("export", help="Same as `sessions export`.")(export)


def _store(ctx: typer.Context) -> Any:
    from kimi_agent.agent.store import SessionStore

    return SessionStore(_options(ctx).home)


def _options(ctx: typer.Context) -> Options:
    found = ctx.find_object(Options)
    return found if found is not None else Options()


def list_sessions(ctx: typer.Context, everywhere: Everywhere = False, as_json: Json = False) -> None:
    """List sessions, newest first."""
    infos = _store(ctx).list(None if everywhere else _options(ctx).cwd())
    if as_json:
        typer.echo(json.dumps([_as_json(info) for info in infos], ensure_ascii=False, indent=2))
        return
    if not infos:
        hint = "" if everywhere else " in this folder (--all lists those of every folder)"
        sys.stderr.write(f"kimi: there are no sessions{hint}\n")
    for info in infos:
        typer.echo(_line(info, with_cwd=everywhere))


def show(ctx: typer.Context, session: Id = None, as_json: Json = False) -> None:
    """Print a session as Markdown, or its events as JSON."""
    session_id = _resolve(ctx, session)
    if as_json:
        typer.echo(_exported(_events(ctx, session_id), "json"))
    else:
        typer.echo(plain(_exported(_events(ctx, session_id), "markdown")))


def search(ctx: typer.Context, text: Annotated[str, typer.Argument()], as_json: Json = False) -> None:
    """Find sessions whose messages hold TEXT, in any folder."""
    found = [(info, plain(line)) for info, line in _store(ctx).search(text)]
    if as_json:
        typer.echo(
            json.dumps([{**_as_json(info), "match": line} for info, line in found], ensure_ascii=False, indent=2)
        )
        return
    for info, line in found:
        typer.echo(f"{_line(info, with_cwd=True)}\n    {line}")
    if not found:
        sys.stderr.write(f"kimi: no session holds {text!r}\n")
        raise typer.Exit(1)


def export(ctx: typer.Context, session: Id = None, output: Out = None, yes: Yes = False) -> None:
    """Write a session to a .md, .html or .json file; without ID the newest one of this folder."""
    session_id = _resolve(ctx, session)
    target = output or Path(f"kimi-session-{session_id}.md")
    if output == Path("-"):
        typer.echo(_exported(_events(ctx, session_id), "markdown"), nl=False)
        return
    from kimi_agent.frontends.export import check_name, write

    check_name(target)
    if target.exists() and not yes:
        raise ConfigError(f"{target} exists", "Use --yes to replace it.")
    write(_events(ctx, session_id), target)
    typer.echo(str(target))


def delete(
    ctx: typer.Context, session: Annotated[list[str], typer.Argument(metavar="ID...")], yes: Yes = False
) -> None:
    """Delete sessions for good."""
    store = _store(ctx)
    ids = [store.path(name).stem for name in session]
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("deleting needs --yes where nobody can be asked")
        typer.confirm(f"Delete {', '.join(ids)} for good?", abort=True, err=True)
    for session_id in ids:
        store.delete(session_id)
        typer.echo(f"deleted {session_id}")


def pick(infos: Sequence[Any]) -> str:
    """Let the person choose a session. Raises SessionError when they choose none."""
    import asyncio

    from kimi_agent.cli.person import TerminalPerson
    from kimi_agent.core.ask import Option

    options = [Option(f"{_age(info.updated):>9}  {plain(info.title)[:70]}") for info in infos[:20]]
    picked = asyncio.run(TerminalPerson().choose("Go on with which session?", options))
    if picked is None:
        raise SessionError("no session was chosen")
    return str(infos[picked].id)


def _resolve(ctx: typer.Context, session: str | None) -> str:
    store = _store(ctx)
    if session:
        return str(store.path(session).stem)
    found = store.list(_options(ctx).cwd())
    if not found:
        raise SessionError(
            "there is no session in this folder", "`kimi sessions list --all` shows those of every folder."
        )
    return str(found[0].id)


def _events(ctx: typer.Context, session_id: str) -> list[Any]:
    """Of a session, without keys: what is written here is for other eyes."""
    from kimi_agent.agent.store import keepable
    from kimi_agent.cli.redacting import redactor_for

    redactor = redactor_for(_options(ctx))
    return [keepable(event, redactor)[0] for event in _store(ctx).read(session_id)]


def _exported(events: Sequence[Any], form: str) -> str:
    from kimi_agent.frontends.export import to_html, to_json, to_markdown

    return {"markdown": to_markdown, "html": to_html, "json": to_json}[form](events)


def _as_json(info: Any) -> dict[str, Any]:
    return {
        "id": info.id,
        "cwd": info.cwd,
        "title": info.title,
        "first_prompt": info.first_prompt,
        "updated": info.updated,
        "path": str(info.path),
    }


def _line(info: Any, *, with_cwd: bool) -> str:
    where = f"  {plain(info.cwd)}" if with_cwd else ""
    return f"{info.id}  {_age(info.updated):>9}  {plain(' '.join(info.title.split()))[:80]}{where}"


def _age(time_s: float) -> str:
    seconds = max(0.0, time.time() - time_s)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now"
