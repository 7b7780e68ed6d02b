"""`python -m inference_backend average RUN RUN OUT`: one model out of several runs."""

from pathlib import Path
from typing import Annotated

import typer

from inference_backend.commands.output import progress_bar, size
from inference_backend.commands.train import told
from inference_backend.errors import RequestError


def average(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs of `train`, two or more.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder where the checkpoint is written.")],
    shares: Annotated[str, typer.Option(metavar="A,B,...", help="Weight of each run; else all count alike.")] = "",
) -> None:
    """The mean of the weights of runs, one of which began with another's checkpoint: often better than each of them."""
    from inference_backend.training.average import average as mean

    with progress_bar() as progress:
        averaged = mean(runs, out, _numbers(shares), progress)
    for run, found in zip(runs, averaged.each, strict=True):
        typer.echo(f"{run}: {told(found)}")
    typer.echo(f"Mean: {told(averaged.mean)}")
    typer.echo(f"{out}: {size(averaged.bytes)}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise RequestError(f"--shares {text[:40]!r} are no numbers", "Such as: --shares 1,2.") from None
