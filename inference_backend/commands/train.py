"""`python -m inference_backend train DATA OUT`: a small K2 from nothing, in as many pieces as needed."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inference_backend.commands.output import size
from inference_backend.errors import RequestError

if TYPE_CHECKING:
    from inference_backend.training.answers import HeldOut
    from inference_backend.training.run import Screen
    from inference_backend.training.trainer import Measured


def train(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Folder of the data set.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the run; one that was begun is gone on with.")],
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="tiny, tiny-on and tiny-last (behind it), tiny-adamw (to compare), smoke (a try)."
        ),
    ] = "tiny",
    minutes: Annotated[
        float, typer.Option(help="Stop after so long; the same command goes on. 0: to the end.", min=0)
    ] = 0.0,
    steps: Annotated[int, typer.Option(help="Steps of the whole run; 0: the recipe's.", min=0)] = 0,
    threads: Annotated[
        int, typer.Option(help="Threads of a process; the same number gives the same weights. 0: all cores.", min=0)
    ] = 0,
    processes: Annotated[int, typer.Option(help="Processes that do a part of each step.", min=1)] = 1,
    nice: Annotated[int, typer.Option(help="Leave the machine to others: 0 not at all, 19 most.", min=0, max=19)] = 10,
    device: Annotated[str, typer.Option(help="torch's device: cpu, cuda.")] = "cpu",
    begin: Annotated[
        Path | None, typer.Option("--from", help="Checkpoint whose weights and tokenizer a new run begins with.")
    ] = None,
    against: Annotated[Path | None, typer.Option(help="Another run's folder: curves/against.svg shows both.")] = None,
    to: Annotated[Path | None, typer.Option("--to", help="Where the checkpoint of a finished run is copied.")] = None,
) -> None:
    """Train a small K2: tokenizer, weights, INT4 checkpoint, curves."""
    # threads that wait give their core to others at once: on a busy machine spinning takes half of the time
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    # compiled products that are kept: a run has some thousand shapes
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    import torch

    from inference_backend.training.journal import draw_against
    from inference_backend.training.recipe import RECIPES
    from inference_backend.training.run import train as run

    if recipe not in RECIPES:
        raise RequestError(f"there is no recipe {recipe[:40]!r}", f"There are {', '.join(RECIPES)}.")
    chosen = replace(RECIPES[recipe], steps=steps) if steps else RECIPES[recipe]
    os.nice(nice)
    torch.set_num_threads(threads or max(cores() // processes, 1))
    with screen() as shown:
        seconds = minutes * 60 or float("inf")
        outcome = run(data, out, chosen, shown, seconds=seconds, device=device, processes=processes, begin=begin)
    found = outcome.held_out
    typer.echo(f"{outcome.done} of {outcome.steps} steps. {told(found)}")
    typer.echo(f"Before INT4: loss {outcome.exact.loss:.4f}, {outcome.exact.episodes:.1%} of episodes.")
    if against is not None:
        draw_against(out / "curves" / "against.svg", {recipe: out / "log.jsonl", against.name: against / "log.jsonl"})
    typer.echo(f"{outcome.checkpoint}: {size(outcome.bytes)}")
    if not outcome.is_whole:
        typer.echo("The same command goes on.")
    elif to is not None:
        shutil.copytree(outcome.checkpoint, to, dirs_exist_ok=True)
        typer.echo(f"Copied to {to}.")


def cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def told(found: "HeldOut") -> str:
    return f"Held out: loss {found.loss:.4f}, {found.tokens:.2%} of tokens and {found.episodes:.1%} of episodes exactly right."


class _Lines:
    """Progress in lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._tokens, self._since = 0, time.monotonic()

    def stage(self, what: str, done: int, total: int) -> None:
        self._say(f"{what}: {done} of {total}")

    def note(self, text: str) -> None:
        self._say(text)

    def step(self, measured: "Measured", total: int) -> None:
        self._tokens += measured.tokens
        if measured.logits is None and measured.step + 1 < total:
            return
        pace = self._tokens / max(time.monotonic() - self._since, 1e-9)
        self._tokens, self._since = 0, time.monotonic()
        self._say(f"step {measured.step + 1} of {total}: {_brief(measured)}, {pace:,.0f} tokens/s")

    def held_out(self, step: int, found: "HeldOut") -> None:
        self._say(told(found))

    def _say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _brief(measured: "Measured") -> str:
    loads = f", load {max(measured.loads):.2f}" if measured.loads else ""
    logits = f", logits {measured.logits:.0f}" if measured.logits is not None else ""
    return f"{measured.phase}, loss {measured.loss:.4f}{loads}{logits}"


class _Bar:
    """Progress in a terminal."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._tasks: dict[str, Any] = {}

    def stage(self, what: str, done: int, total: int) -> None:
        self._update(what, done, total, "")

    def note(self, text: str) -> None:
        self._bar.console.print(text, highlight=False)

    def step(self, measured: "Measured", total: int) -> None:
        pace = measured.tokens / max(measured.seconds, 1e-9)
        self._update("training", measured.step + 1, total, f"{_brief(measured)}, {pace:,.0f} tokens/s")

    def held_out(self, step: int, found: "HeldOut") -> None:
        self._bar.console.print(f"step {step + 1}: {told(found)}", highlight=False)

    def _update(self, what: str, done: int, total: int, note: str) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total, note=note)
        self._bar.update(self._tasks[what], completed=done, note=note)


@contextmanager
def screen() -> "Iterator[Screen]":
    """A bar on standard error where that is a terminal, else lines."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    told, note = TextColumn("{task.description}"), TextColumn("{task.fields[note]}")
    columns = told, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), note
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Bar(bar)
