"""`kimi doctor`: what could keep kimi from working, each with what to do about it."""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Literal

import typer

from kimi_agent.cli.options import Options
from kimi_agent.config import Config
from kimi_agent.core.errors import KimiError
from kimi_agent.core.exit import ExitCode, error_code

MARKS = {"ok": "ok  ", "warning": "warn", "error": "FAIL"}


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is the exit code that an error leads to, 0 for what is none; `hint` says what to do."""

    check: str
    level: Literal["ok", "warning", "error"]
    text: str
    hint: str = ""
    code: int = ExitCode.DONE


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    ctx: typer.Context,
    offline: Annotated[bool, typer.Option("--offline", help="Make no request.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Prove what docs/security.md promises, on this machine, and nothing else.")
    ] = False,
) -> None:
    """Check configuration, key, model and the programs that kimi uses. The exit code says whether all is well."""
    options = ctx.find_object(Options) or Options()
    findings = list(examine_trust(options) if trust else examine(options, offline=offline))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        for finding in findings:
            typer.echo(f"{MARKS[finding.level]}  {finding.check:<9} {finding.text}")
            if finding.hint and finding.level != "ok":
                typer.echo(f"{'':16}{finding.hint}")
    raise typer.Exit(next((finding.code for finding in findings if finding.level == "error"), ExitCode.DONE))


def examine(options: Options, *, offline: bool) -> Iterator[Finding]:
    """All findings, in the order in which they matter."""
    yield _python()
    yield from _home(options)
    config: Config | None = None
    try:
        config = options.load()
    except KimiError as error:
        for line in str(error).splitlines():
            yield Finding("config", "error", line, error.hint, error_code(type(error).__name__))
    if config:
        yield from _config(options, config)
        yield from _model(config, offline)
        yield from _search(config)
    yield from _servers(options)
    yield _git()
    if config and config.snapshots.enabled:
        yield _snapshots(options, config)
    yield _ripgrep()
    yield _terminal()


def examine_trust(options: Options) -> Iterator[Finding]:
    """What holds on this machine: every check of the canary in every rung, then what commands run in."""
    from kimi_agent.boxed import make_box
    from kimi_agent.cli.box import box_lines
    from kimi_agent.workspaces.sandbox.proof import RUNGS

    try:
        config = options.load()
        boxes = [(rung, make_box(config, options.home, rungs=(rung,))) for rung in RUNGS]
        chosen = make_box(config, options.home)
    except KimiError as error:
        yield Finding("config", "error", str(error), error.hint, error_code(type(error).__name__))
        return
    for held, rung, text in box_lines((rung, box.prove()) for rung, box in boxes):
        yield Finding(f"box {rung}", "ok" if held else "warning", text)
    state = chosen.prove()
    if state.rung == "R0":
        hint = "Every command is asked for. Allow user namespaces, or install bubblewrap (/usr/bin/bwrap)."
        yield Finding("box", "error", f"commands run in no box: {state.reason}", hint, ExitCode.FAILED)
    else:
        residue = f"; not held: {', '.join(state.not_held)}" if state.not_held else ""
        yield Finding("box", "ok", f"commands run in {state.rung}{residue}")
        yield from _proofs()


def _proofs() -> Iterator[Finding]:
    """kimi at work, attacked by a model of ours."""
    import subprocess

    from kimi_agent.cli.proofs import proofs

    try:
        for held, about, text in proofs():
            hint = "" if held else "Please report this, with what `kimi info` says: it is a fault of kimi."
            yield Finding(about, "ok" if held else "error", text, hint, ExitCode.DONE if held else ExitCode.FAILED)
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding("proofs", "error", f"kimi at work could not be tried: {error}", "", ExitCode.FAILED)


def _python() -> Finding:
    return Finding("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")


def _home(options: Options) -> Iterator[Finding]:
    import tempfile

    home = options.home
    nearest = next(folder for folder in (home, *home.parents) if os.access(folder, os.F_OK))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
        yield Finding("home", "ok", str(home))
    except OSError as error:
        hint = "Sessions cannot be saved. Set KIMI_HOME to a folder that you may write to."
        yield Finding("home", "error", f"{nearest}: {error.strerror}", hint, ExitCode.FAILED)
    for path in (options.config_path, home / "mcp.json", home / "mcp-local.json"):
        if os.access(path, os.F_OK) and path.stat().st_mode & 0o077 and path.is_file():
            yield Finding("home", "warning", f"others may read {path}, which holds your keys", f"chmod 600 {path}")


def _config(options: Options, config: Config) -> Iterator[Finding]:
    for warning in config.warnings:
        yield Finding("config", "warning", warning)
    path = options.config_path
    where = str(path) if os.access(path, os.F_OK) else f"no file {path}: environment and defaults"
    yield Finding("config", "ok", f"{where}, {len(config.models)} model(s)")


def _model(config: Config, offline: bool) -> Iterator[Finding]:
    if not config.default_model:
        hint = "Run `kimi login`, or set KIMI_API_KEY."
        yield Finding("model", "error", "no model is chosen", hint, ExitCode.NO_MODEL)
        return
    entry = config.models[config.default_model]
    provider = config.providers[entry.provider]
    name = f"{config.default_model} ({provider.type} at {provider.base_url or 'its public address'})"
    if offline:
        yield Finding("model", "ok", f"{name}, not tried (--offline)")
        return
    import asyncio

    try:
        asyncio.run(_ask(config))
        yield Finding("model", "ok", f"{name} answers")
    except KimiError as error:
        yield Finding("model", "error", f"{name}: {error}", error.hint, error_code(type(error).__name__))


async def _ask(config: Config) -> None:
    """One real request, with the key that a session would use."""
    from kimi_agent.build import endpoint_of, model_of
    from kimi_agent.login import with_served_model
    from kimi_agent.providers.models import check

    if not config.models[config.default_model].model:
        config = await with_served_model(config)
    entry = config.models[config.default_model]
    await check(endpoint_of(config, entry), model_of(config.default_model, entry))


def _search(config: Config) -> Iterator[Finding]:
    """Only where one is configured; a search is not tried, it may cost money."""
    from kimi_agent.tools.search import SERVICES, search_client

    named = next((name for name in SERVICES if name in config.services), "")
    if not named:
        return
    client = search_client(config.services)
    if client is None:
        hint = f"The model has no SearchWeb until [services.{named}] has what it needs, see docs/guides/search.md."
        yield Finding("search", "warning", f"services.{named} has no key or no address", hint)
        return
    try:
        yield Finding("search", "ok", f"{client.setting} at {client.host}, not tried")
    except KimiError as error:
        yield Finding("search", "warning", str(error), "Correct base_url.")


def _servers(options: Options) -> Iterator[Finding]:
    """Only where somebody has MCP servers. None is started: `kimi mcp test` does that."""
    from kimi_agent.cli.mcp_found import known

    try:
        found = known(options)
    except KimiError as error:  # no folder to look in
        yield Finding("mcp", "error", str(error), error.hint, error_code(type(error).__name__))
        return
    for problem in found.found.problems:
        yield Finding("mcp", "warning", problem, "Mend the file; `kimi mcp list` shows what is read.")
    states = {server.name: found.state(server) for server in found.found.servers}
    for name, state in states.items():
        if state == "needs approval":
            hint = f"kimi mcp approve {shlex.quote(name)}"
            yield Finding("mcp", "warning", f"{name} comes with this project, and is not approved", hint)
        elif state.startswith("unset"):
            yield Finding("mcp", "warning", f"{name}: {state}", "It cannot be started without that.")
    if ready := [name for name, state in states.items() if state == "enabled"]:
        yield Finding("mcp", "ok", f"{len(ready)} server{'s' * (len(ready) != 1)}, not tried: {', '.join(ready)}")


def _git() -> Finding:
    return _program("git", ["git", "--version"], "Install git: /undo of what commands changed needs it.")


def _snapshots(options: Options, config: Config) -> Finding:
    """What the saved files of all sessions take."""
    from kimi_agent.workspaces.snapshots import size_of

    folder = options.home / "snapshots"
    stores = sorted(path for path in folder.glob("*") if (path / "sessions").is_dir())
    sizes = {path.name: size_of(path) for path in stores}
    text = f"{sum(sizes.values()) / 1e6:.1f} MB of {len(sizes)} folder{'s' * (len(sizes) != 1)} in {folder}"
    full = [name for name, size in sizes.items() if size > config.snapshots.max_total_mb * 1e6]
    if not full:
        return Finding("undo", "ok", text)
    hint = "Nothing new is saved there as a whole. `kimi sessions delete` makes room, max_total_mb in [snapshots] allows more."
    return Finding("undo", "warning", f"{text}; full: {', '.join(full)}", hint)


def _ripgrep() -> Finding:
    from kimi_agent.tools.ripgrep import find_ripgrep

    program, *rest = find_ripgrep()
    if rest:
        return Finding(
            "ripgrep", "warning", "not found: Grep and Glob use slower code of our own", "pip install ripgrep"
        )
    return _program("ripgrep", [program, "--version"], "Grep and Glob need it, or none at all.")


def _program(check: str, command: list[str], hint: str) -> Finding:
    import subprocess

    from kimi_agent.core.environment import child_environment

    try:
        own = child_environment({})
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True, env=own)
        return Finding(check, "ok", done.stdout.splitlines()[0] if done.stdout else command[0])
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(check, "warning", f"{command[0]} does not run: {error}", hint)


def _terminal() -> Finding:
    name = os.environ.get("TERM", "")
    columns, lines = shutil.get_terminal_size()
    if name in ("", "dumb", "unknown"):
        return Finding("terminal", "ok", f"TERM={name or 'unset'}: line mode is used")
    encoding = (sys.stdout.encoding or "").lower()
    if not encoding.startswith("utf"):
        return Finding("terminal", "warning", f"the locale's encoding is {encoding}", "Set LANG to a UTF-8 locale.")
    return Finding("terminal", "ok", f"TERM={name}, {columns}x{lines}, {encoding}")
