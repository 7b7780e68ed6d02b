"""`python -m inference_backend synthesise FOLDER`: make training data with the agent's own tools."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from inference_backend.commands.output import progress_bar


def synthesise(
    out: Annotated[Path, typer.Argument(help="Folder of the dataset; a run that was stopped goes on there.")],
    episodes: Annotated[int, typer.Option(min=0, help="Tasks to train on.")] = 40_000,
    held_out: Annotated[int, typer.Option(min=0, help="Tasks that training never sees.")] = 800,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    families: Annotated[str, typer.Option(metavar="NAMES", help="Only these families, with commas between.")] = "",
) -> None:
    """Make a dataset for small models: worlds, tasks, an expert at work in them, every episode checked and replayed."""
    from inference_backend.training.synthesis.produce import Order, produce

    chosen = tuple(name.strip() for name in families.split(",") if name.strip())
    with progress_bar() as progress:
        manifest = produce(out, Order(episodes, held_out, seed, chosen), jobs, progress)
    examples = manifest["examples"]
    sys.stdout.write(
        f"{examples.get('train', 0)} episodes to train on and {examples.get('held_out', 0)} held out, of {manifest['families']} "
        f"families, {manifest['mean_characters']:.0f} characters each, in {out}\n"
    )
