"""A trained model as a checkpoint for any engine: config.json, INT4 weights and tokenizer, as K2-Thinking ships them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference_backend.checkpoint.folder import SINGLE
from inference_backend.checkpoint.header import DTYPES
from inference_backend.checkpoint.writer import write_file, write_text
from inference_backend.config import read_config
from inference_backend.load import load_weights
from inference_backend.quant import SCHEMES
from inference_backend.tensors import Weight, weights_of
from inference_backend.training.model import TrainableModel

TOKENIZER = "tiktoken.model", "tokenizer_config.json"


def export(folder: Path, model: TrainableModel, raw: dict[str, Any], tokenizer: Path) -> int:
    """Writes the checkpoint of `model` with the config.json `raw`, weights first; returns their bytes.

    What the forward pass saw with `Precision(stored=True)` is what a reader gets, bit for bit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights, tensors = dict(model.named_weights()), dict[str, np.ndarray[Any, Any]]()
    for weight in weights_of(read_config(raw)):
        tensors.update(_stored(weight, weights[weight.name].float().cpu()))
    write_file(folder / SINGLE, tensors)
    for name in TOKENIZER:
        shutil.copyfile(tokenizer / name, folder / name)
    write_text(folder / "config.json", json.dumps(raw, indent=2) + "\n")
    return (folder / SINGLE).stat().st_size


def _stored(weight: Weight, values: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    stem, array = weight.name.removesuffix("weight"), values.numpy()
    if len(weight.shape) == 1:
        (param,) = weight.stored().values()
        return {weight.name: array.astype(DTYPES[param.kinds[0]])}
    made = SCHEMES[weight.scheme].quantise(array)
    return {stem + suffix: np.asarray(part) for suffix, part in made.items()}


@torch.no_grad()
def fill(model: TrainableModel, folder: Path) -> None:
    """Takes the weights of the checkpoint in `folder` over, dequantised. Raises CheckpointError."""
    stored = load_weights(folder, model.config)
    for name, tensor in model.named_weights():
        tensor.copy_(torch.from_numpy(np.array(stored[name], np.float32)))
