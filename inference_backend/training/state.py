"""The state of a run on disk: weights, optimiser and step in one file, written whole or not at all.

A run that is killed at any moment goes on from the last file and comes to the same weights: what is trained on in a step is
decided by its number, and nothing else is random.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inference_backend.checkpoint.folder import SINGLE, Checkpoint
from inference_backend.checkpoint.writer import write_file
from inference_backend.errors import TrainingError
from inference_backend.training.model import TrainableModel
from inference_backend.training.muonclip import MuonClip

STEP = "step"


def save(folder: Path, model: TrainableModel, optimiser: MuonClip, step: int) -> None:
    """`step` steps are done."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().numpy() for name, tensor in _tensors(model, optimiser)}
    write_file(folder / SINGLE, {**tensors, STEP: np.asarray([step], np.int64)})


def load(folder: Path, model: TrainableModel, optimiser: MuonClip) -> int:
    """Fills model and optimiser; returns the steps that are done: 0 where nothing was saved. Raises EngineError."""
    if not (folder / SINGLE).exists():
        return 0
    stored = Checkpoint(folder)
    step = int(stored.array(STEP)[0])
    optimiser.prepare()
    for name, tensor in _tensors(model, optimiser):
        if name not in stored or stored[name].shape != tuple(tensor.shape):
            raise TrainingError(
                f"{folder / SINGLE} does not hold this model: {name} is missing or of another shape",
                "The recipe has changed; begin in a new folder, or delete this one.",
            )
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(np.array(stored.array(name))))
    return step


def _tensors(model: TrainableModel, optimiser: MuonClip) -> Iterator[tuple[str, Tensor]]:
    yield from model.state_dict().items()
    for name, param in model.named_parameters():
        for part, tensor in sorted(optimiser.state[param].items()):
            yield f"optimiser.{name}.{part}", tensor
