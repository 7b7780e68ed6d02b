"""`python -m inference_backend inspect FOLDER`: what a checkpoint is, what it takes, what it fits on."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from inference_backend.commands.output import progress_bar


def inspect(
    folder: Annotated[Path, typer.Argument(help="Folder with config.json, and the weights if they are there.")],
    gpus: Annotated[str, typer.Option(metavar="GPUS", help="Plan for these: 8xH200, 4x141GB@4.8TB.")] = "",
    layers: Annotated[bool, typer.Option("--layers", help="Every layer by itself.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Read all weights and check the numbers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show parameters, bytes by kind, cache per token and the memory plan; check every tensor of the checkpoint."""
    from inference_backend.checkpoint.folder import Checkpoint
    from inference_backend.config import load_config
    from inference_backend.gpus import read_gpus, this_machine
    from inference_backend.load import StoredWeights
    from inference_backend.plan import plan_gpus, sizes_of

    config = load_config(folder)
    chosen = read_gpus(gpus) if gpus else ()
    machine = this_machine()
    stored = None
    with progress_bar() as progress:
        if verify or any(folder.glob("*.safetensors*")):
            stored = StoredWeights(Checkpoint(folder, progress=progress), config)
            if verify:
                stored.verify(progress)
        sizes = sizes_of(config, stored.checkpoint if stored else None)
    chosen = chosen or machine.gpus
    plan = plan_gpus(config, sizes, chosen) if chosen else None
    facts: dict[str, Any] = {
        "folder": str(folder),
        "weights": "checked" if stored else "not here: planned from config.json",
        "files": len(stored.checkpoint.files) if stored else 0,
        "skipped_tensors": len(stored.skipped) if stored else 0,
        **asdict(sizes),
        "max_position_embeddings": config.max_position_embeddings,
        "machine": asdict(machine),
        "plan": None if plan is None else {**asdict(plan), "fits": plan.fits},
    }
    if as_json:
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
        return
    from inference_backend.commands.tables import show

    show(facts, sizes, plan, machine, with_layers=layers)
