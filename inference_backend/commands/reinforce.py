"""`python -m inference_backend reinforce RUN OUT`: a trained model plays, and learns from what it reached."""

import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from inference_backend.commands.output import progress_bar
from inference_backend.commands.train import cores


def reinforce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of `train`.")],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of this one; if it was begun, it is gone on with.")
    ],
    iterations: Annotated[int, typer.Option(help="Times to play and learn.", min=1)] = 24,
    tasks: Annotated[int, typer.Option(help="New tasks of an iteration.", min=1)] = 24,
    samples: Annotated[int, typer.Option(help="How often each is played.", min=2)] = 8,
    held_out: Annotated[int, typer.Option(help="Held-out tasks, played before and after.", min=1)] = 200,
    lr: Annotated[float, typer.Option(help="Learning rate.", min=0)] = 2e-4,
    ptx: Annotated[float, typer.Option(help="Weight of the loss on the data of the run.", min=0)] = 10.0,
    minutes: Annotated[
        float, typer.Option(help="Stop after so long; the same command goes on. 0: to the end.", min=0)
    ] = 0.0,
    jobs: Annotated[int, typer.Option(help="Processes that play; 0: as many as cores.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="Threads of the updates. 0: all cores.", min=0)] = 0,
    nice: Annotated[int, typer.Option(help="Leave the machine to others: 0 not at all, 19 most.", min=0, max=19)] = 10,
    device: Annotated[str, typer.Option(help="torch's device for the updates: cpu, cuda.")] = "cpu",
    to: Annotated[Path | None, typer.Option("--to", help="Where the checkpoint is copied, if it is kept.")] = None,
) -> None:
    """Reinforce a small K2 by tasks whose goals are checked; keep it only if it solves more held-out ones."""
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    # compiled products that are kept: a run has some thousand shapes
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of the processes that play: each is one thread
    import torch

    from inference_backend.training.rl_run import reinforce as go_on
    from inference_backend.training.rl_trainer import Settings

    os.nice(nice)
    torch.set_num_threads(threads or cores())
    settings = Settings(iterations=iterations, tasks=tasks, samples=samples, held_out=held_out, lr=lr, ptx=ptx)
    with progress_bar() as progress:
        outcome = go_on(
            run, out, settings, lambda line: typer.echo(line, err=True), progress, jobs=jobs or cores(),
            seconds=minutes * 60 or float("inf"), device=device,
        )  # fmt: skip
    if outcome.verdict is None:
        typer.echo(f"{outcome.done} of {iterations} iterations. The same command goes on.")
        return
    typer.echo(outcome.verdict.told())
    if outcome.verdict.is_better:
        typer.echo(str(outcome.checkpoint))
        if to is not None:
            shutil.copytree(outcome.checkpoint, to, dirs_exist_ok=True)
            typer.echo(f"Copied to {to}.")
