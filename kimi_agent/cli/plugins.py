"""`kimi plugin ...`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kimi_agent.cli.options import Options
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.sanitize import plain, visible

if TYPE_CHECKING:
    from kimi_agent.plugin import Plugin
    from kimi_agent.plugins.find import Found
    from kimi_agent.plugins.install import Candidate

Name = Annotated[str, typer.Argument(metavar="NAME", help="A plugin, as `kimi plugin list` calls it.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Trust it without being asked.")]
AllowKey = Annotated[bool, typer.Option("--allow-key", help="Let it have the API key that it asks for.")]
Source = Annotated[str, typer.Argument(metavar="SOURCE", help="A folder, a .zip (file or https), or a git address.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Install, show, enable and remove plugins.", rich_markup_mode=None)
    for function in (install, list_plugins, info, enable, disable, remove, path):
        group.command("list" if function is list_plugins else function.__name__)(function)
    app.add_typer(group, name="plugin", no_args_is_help=True)


def install(ctx: typer.Context, source: Source, yes: Yes = False, allow_key: AllowKey = False) -> None:
    """Show what a plugin adds, ask, and install it. Run it again with a newer source to update."""
    from kimi_agent.plugins import install as installing
    from kimi_agent.plugins.records import read_records
    from kimi_agent.plugins.source import fetch

    home = _options(ctx).home
    with tempfile.TemporaryDirectory(prefix="kimi-plugin-") as folder:
        candidate = installing.examine(fetch(source, Path(folder)))
        name = candidate.manifest.name
        _ask(candidate, f"Install and trust {name}?", yes, read_records(home).get(name))
        keys = _keys(ctx, candidate, yes, allow_key)
        installing.install(home, candidate, keys)
    typer.echo(f"installed {name} {candidate.manifest.version}".rstrip())


def list_plugins(ctx: typer.Context, as_json: Json = False) -> None:
    """List all plugins and whether they are on. Those that are on are loaded to see what is wrong with them."""
    from kimi_agent.plugins.host import STATES

    root: Any = ctx.find_root().command
    own = set(root.commands)
    rows = [_row(found, own) for found in _found(ctx)]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    if not rows:
        sys.stderr.write("kimi: there are no plugins. `kimi plugin install SOURCE` adds one.\n")
    for row in rows:
        about = f"{row['version']:<8} {row['description']}"
        typer.echo(f"{row['name']:<20} {row['origin']:<10} {STATES[row['state']]:<12} {about}".rstrip())
        for problem in row["problems"]:
            typer.echo(f"{'':4}{visible(plain(problem))}")
        if row["subcommands"]:
            typer.echo(f"{'':4}adds: {', '.join(f'kimi {word}' for word in row['subcommands'])}")


def info(ctx: typer.Context, name: Name) -> None:
    """Show what a plugin adds, where it comes from and its content hash."""
    from kimi_agent.plugins.host import STATES

    found = _one(ctx, name)
    typer.echo(f"{found.name}: {found.origin}, {STATES[found.state]}")
    if found.problem:
        typer.echo(f"  {found.problem}")
    if found.folder is None:
        typer.echo(f"  a Python plugin: {found.target}")
        return
    from kimi_agent.plugins.install import describe

    typer.echo(f"  folder   {found.folder}")
    for line in describe(_candidate(found), found.record):
        typer.echo(line)


def enable(ctx: typer.Context, name: Name, yes: Yes = False) -> None:
    """Turn a plugin on. One that nobody has trusted, or whose files changed, is shown first."""
    from kimi_agent.plugins import install as installing
    from kimi_agent.plugins.content import content_hash

    found, home = _one(ctx, name), _options(ctx).home
    if found.state == "broken":
        raise ConfigError(f"{name} cannot be turned on: {found.problem}")
    trusted = found.origin != "installed" or (
        found.record.hash != "" and content_hash(found.folder or Path()) == found.record.hash
    )
    if trusted:
        installing.set_enabled(home, name, True)
    else:
        candidate = _candidate(found)
        _ask(candidate, f"Trust {name}?", yes, found.record)
        installing.trust(home, candidate)
    if _options(ctx).load().plugins.get(name, {}).get("enabled") is False:
        raise ConfigError(f"config.toml keeps {name} off", f"Remove `enabled = false` from [plugins.{name}].")
    typer.echo(f"{name} is on")


def disable(ctx: typer.Context, name: Name) -> None:
    """Turn a plugin off. Nothing of it is loaded any more; its files stay."""
    from kimi_agent.plugins.install import set_enabled

    _one(ctx, name)
    set_enabled(_options(ctx).home, name, False)
    typer.echo(f"{name} is off")


def remove(ctx: typer.Context, name: Name, yes: Yes = False) -> None:
    """Delete an installed plugin and its files."""
    from kimi_agent.plugins import install as installing

    found = _one(ctx, name)
    if found.origin != "installed":
        hint = f"kimi plugin disable {name}" if found.origin == "bundled" else "Uninstall its Python package."
        raise ConfigError(f"{name} is not an installed folder", hint)
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {found.folder}?", abort=True, err=True)
    installing.remove(_options(ctx).home, name)
    typer.echo(f"removed {name}")


def path(ctx: typer.Context, name: Name) -> None:
    """Print the folder of a plugin."""
    found = _one(ctx, name)
    if found.folder is not None:
        typer.echo(str(found.folder))
        return
    from importlib.util import find_spec

    spec = find_spec(found.target.partition(":")[0].partition(".")[0])
    if spec is None or spec.origin is None:
        raise ConfigError(f"the module of {name} cannot be found")
    typer.echo(str(Path(spec.origin).parent))


# ----------------------------------------------------------------------------------------------------------------------


def _options(ctx: typer.Context) -> Options:
    return ctx.find_object(Options) or Options()


def _found(ctx: typer.Context) -> "list[Found]":
    from kimi_agent.plugins.find import find

    options = _options(ctx)
    return find(options.home, options.load().plugins)


def _one(ctx: typer.Context, name: str) -> "Found":
    found = _found(ctx)
    for one in found:
        if one.name == name:
            return one
    known = ", ".join(one.name for one in found) or "none"
    raise ConfigError(f"there is no plugin {visible(plain(name))!r}", f"Known: {known}.")


def _row(found: "Found", taken: set[str]) -> dict[str, Any]:
    """`taken` are the subcommands that there are already, to which the plugin's are added."""
    from kimi_agent.plugins.load import load

    plugin: Plugin | None = load(found) if found.state == "on" else None
    broken = plugin is not None and any(text.startswith("it is left out") for text in plugin.problems)
    words = set(plugin.subcommands) if plugin else set()
    problems = list(plugin.problems) if plugin else [found.problem] if found.problem else []
    problems += [
        f"its subcommand {word} is left out: there is one of that name already." for word in sorted(words & taken)
    ]
    words -= taken
    taken |= words
    return {
        "name": visible(plain(found.name)),
        "origin": found.origin,
        "state": "broken" if broken else found.state,
        "version": plain(plugin.version) if plugin else found.record.version,
        "description": plain(plugin.description) if plugin and not broken else _about(found),
        "source": found.record.source,
        "commit": found.record.commit,
        "hash": found.record.content,
        "folder": str(found.folder) if found.folder else "",
        "problems": problems,
        "subcommands": sorted(words),
    }


def _about(found: "Found") -> str:
    """What a plugin that is not loaded says of itself; empty when its code alone knows."""
    from kimi_agent.plugins.find import ABOUT
    from kimi_agent.plugins.manifest import read_manifest

    if found.folder is None:
        return ABOUT.get(found.name, "") if found.origin == "bundled" else ""
    try:
        return read_manifest(found.folder).description
    except ConfigError:
        return ""


def _candidate(found: "Found") -> "Candidate":
    from kimi_agent.plugins.content import content_hash
    from kimi_agent.plugins.install import Candidate
    from kimi_agent.plugins.manifest import read_manifest

    assert found.folder is not None
    content = content_hash(found.folder)  # before it is read: what changes from here on is noticed
    manifest = read_manifest(found.folder)
    if manifest.name != found.name:
        raise ConfigError(f"the plugin in {found.folder} calls itself {manifest.name}", "Rename its folder.")
    return Candidate(manifest, content, found.record.source, found.record.commit)


def _ask(candidate: "Candidate", question: str, yes: bool, before: Any) -> None:
    """Show what is to be trusted, and ask. Raises ConfigError where nobody can be asked."""
    from kimi_agent.plugins.install import describe

    sys.stderr.write("\n".join(describe(candidate, before)) + "\n")
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here: nothing was done", "Use --yes to trust what is shown above.")
    typer.confirm(question, abort=True, err=True)


def _keys(ctx: typer.Context, candidate: "Candidate", yes: bool, allowed: bool) -> dict[str, str]:
    """The key and address of the default model's provider, when the plugin wants them and the person agrees."""
    manifest = candidate.manifest
    if not manifest.inject:
        return {}
    name, wanted = manifest.name, ", ".join(sorted(set(manifest.inject.values())))
    if not allowed and not yes and sys.stdin.isatty():
        allowed = typer.confirm(f"{name} WANTS YOUR {visible(wanted)}. Write it into the plugin?", err=True)
    if not allowed:
        sys.stderr.write(f"kimi: {name} is installed without your {visible(wanted)}; --allow-key lets it have that\n")
        return {}
    config = _options(ctx).load()
    model = config.models.get(config.default_model)
    provider = config.providers.get(model.provider) if model else None
    if provider is None:
        raise ConfigError("there is no provider whose key it could have", "Run `kimi login` first.")
    sys.stderr.write(f"kimi: {name} GETS YOUR {visible(wanted)}, written to its {visible(manifest.config_file)}\n")
    return {"api_key": provider.api_key, "base_url": provider.base_url}
