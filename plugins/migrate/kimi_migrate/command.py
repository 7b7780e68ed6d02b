"""`kimi migrate`: finds, shows the plan, asks, does it."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NoReturn

from kimi_agent.config import home_dir
from kimi_agent.config.file import short_path
from kimi_agent.core.errors import ConfigError
from kimi_agent.core.exit import ExitCode
from kimi_agent.core.sanitize import plain, visible
from kimi_migrate.apply import apply
from kimi_migrate.servers import Servers
from kimi_migrate.settings import Settings
from kimi_migrate.sources import AGENTS, Run
from kimi_migrate.step import NewFile, NewFolder, State, Step, left

MARKS: dict[State, str] = {"new": "+", "there": "=", "left": "-"}
COLUMNS = (13, 44)
"""Widths of the kind of a thing and of its name."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, "See kimi migrate --help.")


def migrate(arguments: Sequence[str]) -> int:
    """Run `kimi migrate ARGUMENTS...`; answers an exit code. Raises KimiError."""
    try:
        options = _parser().parse_args(list(arguments))
    except SystemExit:  # --help
        return ExitCode.DONE
    user = Path.home()
    run = Run(home_dir(os.environ), user, Path.cwd(), *_files(home_dir(os.environ)))
    _tell("Reading what other agents have ...")
    plan = _plan(options.source, os.environ, run)
    if not plan:
        sys.stdout.write("Nothing was found to bring over.\n")
        return ExitCode.DONE
    for title, steps in plan.items():
        sys.stdout.write("\n".join([title, *_lines(steps), "", ""]))
    steps = [step for found in plan.values() for step in found]
    changes = [step.change for step in steps if step.change is not None]
    sys.stdout.write(_sum(steps))
    if not changes or options.dry_run:
        return ExitCode.DONE
    if not options.yes and not _asked():
        sys.stdout.write("Nothing was brought over.\n")
        return ExitCode.DONE
    _tell("Bringing it over ...")
    apply(changes, run.home)
    sys.stdout.write(f"Done: {len(changes)} brought over to {short_path(run.home)}. The originals are as they were.\n")
    return ExitCode.DONE


def _tell(text: str) -> None:
    """Gigabytes of sessions take minutes."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="kimi migrate", description="Bring over what other agents have. Shows the plan, then asks.")
    parser.add_argument("--from", dest="source", choices=tuple(AGENTS), help="only this one; else all that are found")
    parser.add_argument("--dry-run", action="store_true", help="show the plan and change nothing")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    return parser


def _files(home: Path) -> tuple[Settings, Servers]:
    return Settings(home), Servers(home)


def _plan(source: str | None, env: Mapping[str, str], run: Run) -> dict[str, list[Step]]:
    """The steps for each agent that is found, under its title. Raises ConfigError when the one asked for is not there."""
    plan: dict[str, list[Step]] = {}
    taken: dict[str, Path] = {}
    for key, agent in AGENTS.items():
        root = agent.root(env, run.user)
        if source not in (None, key):
            continue
        if root.is_dir() and (steps := list(_claimed(_readable(agent.steps(root, run)), taken))):
            plan[f"{agent.name} ({_shown(short_path(root))})"] = steps
        elif source == key:
            raise ConfigError(
                f"{agent.name} has nothing in {short_path(root)}", f"Set {agent.variable} if it is elsewhere."
            )
    return plan


def _readable(steps: Iterator[Step]) -> Iterator[Step]:
    """The steps up to a folder that cannot be read, and a word on that."""
    try:
        yield from steps
    except OSError as error:
        path = Path(os.fsdecode(error.filename or ""))
        yield left("folder", path.name, path, f"it cannot be read, nor what comes after it: {error.strerror or error}")


def _claimed(steps: Iterator[Step], taken: dict[str, Path]) -> Iterator[Step]:
    """The steps without those for a place that another one takes: by its path in small letters, for disks that see no case."""
    for step in steps:
        change = step.change
        if isinstance(change, NewFile | NewFolder):
            first = taken.setdefault(str(change.path).casefold(), step.source)
            if first != step.source:
                yield left(step.what, step.name, step.source, f"{short_path(first)} comes there first")
                continue
        yield step


def _lines(steps: Sequence[Step]) -> Iterator[str]:
    """A line for each step, steps of one group as one; below it what is changed, or why it is left out."""
    ordered = sorted(steps, key=lambda step: (list(MARKS).index(step.state), step.group))
    keyed = groupby(ordered, key=lambda step: (step.state, step.what, step.note, step.group or id(step)))
    for (state, what, note, _), grouped in keyed:
        same = list(grouped)
        first = same[0]
        name = first.name if len(same) == 1 else f"{len(same)} {what}s" + (f" of {first.group}" if first.change else "")
        way = _shown(short_path(first.source if len(same) == 1 else first.source.parent))
        if first.target is not None and state == "new":
            way += f" -> {_shown(short_path(first.target if len(same) == 1 else first.target.parent))}"
        kind, name = what.ljust(COLUMNS[0]), _shown(name).ljust(COLUMNS[1])
        yield f"  {MARKS[state]} {kind} {name} {way}".rstrip()
        if note:
            yield f"      {_shown(note)}"


def _shown(text: str) -> str:
    """A stranger's text as one line without control sequences."""
    line = visible(" ".join(plain(text).split()))
    return line if len(line) <= 160 else line[:159] + "…"


def _sum(steps: Sequence[Step]) -> str:
    count = {state: sum(step.state == state for step in steps) for state in MARKS}
    if not count["new"]:
        return f"Nothing to do: {count['there']} here already (=), {count['left']} left out (-).\n"
    return f"{count['new']} to bring over (+), {count['there']} here already (=), {count['left']} left out (-).\n"


def _asked() -> bool:
    import typer

    if not sys.stdin.isatty():
        raise ConfigError(
            "bringing things over needs --yes where nobody can be asked", "--dry-run only shows the plan."
        )
    try:
        return typer.confirm("Bring these over?", err=True)
    except typer.Abort:
        return False
