"""`python -m inference_backend convert SRC DST --to bf16|fp8|int4`"""

import os
from pathlib import Path
from typing import Annotated

import typer

from inference_backend.commands.output import progress_bar, size


def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of the checkpoint.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="New folder; one that was begun is finished.")],
    to: Annotated[str, typer.Option("--to", metavar="SCHEME", help="bf16, fp8 or int4.")],
    jobs: Annotated[
        int, typer.Option(min=1, max=256, help="Tensors at a time, each on a thread; 0.5 GB each for K2.")
    ] = min(os.cpu_count() or 1, 8),
) -> None:
    """Rewrite a checkpoint in another scheme, tensor by tensor."""
    from inference_backend.convert import convert as run

    with progress_bar() as progress:
        done = run(source, target, to, jobs=jobs, progress=progress)
    files = f"{done.files} file{'s' * (done.files > 1)}"
    typer.echo(f"{target}: {files}, {size(done.bytes_after)} in {to} (before: {size(done.bytes_before)})")
    if done.reused:
        typer.echo(f"{done.reused} of them were whole already.")
    if done.dropped:
        typer.echo(f"{done.dropped} tensors for multi-token prediction were left out.")
