"""`python -m inference_backend retoken CHECKPOINT OUT`: a trained model behind a tokenizer by today's rules."""

from pathlib import Path
from typing import Annotated

import typer


def retoken(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Folder of a checkpoint that `train` made.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder where the other one is written.")],
) -> None:
    """The same weights behind a tokenizer by today's rules, to be trained on: `train --from OUT`."""
    from inference_backend.training.retoken import retoken as write

    gone = write(checkpoint, out)
    typer.echo(f"{out}: {gone} token{'s' * (gone != 1)} fewer")
    typer.echo(f"It does not know its tokens yet: python -m inference_backend train DATA RUN --from {out}")
