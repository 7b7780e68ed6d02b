"""One model out of several runs: the mean of their weights, which costs nothing when it answers.

Runs of which one began with what another came to lie close together, and what the noise of the rate has left in the one it has
not left in the other (Wortsman et al., Model soups, 2022, arXiv:2203.05482).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tokenizer_files import read_ranks
from inference_backend.checkpoint.folder import SINGLE, Checkpoint, Progress, quiet
from inference_backend.errors import RequestError, TrainingError
from inference_backend.training.answers import HeldOut
from inference_backend.training.export import export
from inference_backend.training.prepare import Folder, read_encoded, recipe_of
from inference_backend.training.recipe import Recipe
from inference_backend.training.retoken import BY_TOKEN, rows_of
from inference_backend.training.state import STEP
from inference_backend.training.trainer import Trainer

MEASURED = 512
"""Held-out conversations of the last run on which all are measured."""


@dataclass(frozen=True, slots=True)
class Averaged:
    each: Sequence[HeldOut]  # of the runs, stored as INT4, each behind the tokenizer of the last
    mean: HeldOut
    bytes: int


def average(runs: Sequence[Path], out: Path, shares: Sequence[float] = (), progress: Progress = quiet) -> Averaged:
    """Writes the checkpoint `out`: the mean of the weights of finished `runs`, weighted by `shares`, else all alike.

    Tokenizer and held-out conversations are those of the last run, which may have been begun behind `retoken`. Raises
    EngineError, also where a run is not finished or of another shape, or where `out` is a part of one.
    """
    parts = _checked(runs, shares)
    _can_be_written(out, runs)
    folders = [Folder(run) for run in runs]
    last, recipe = folders[-1], recipe_of(folders[-1])
    for folder in folders:
        _is_finished(folder)
        _matches(folder, last, recipe)
    config = recipe.config(Tokenizer.load(last.tokenizer).ordinary_count, long=True)
    dtype = torch.bfloat16 if torch.backends.mkldnn.is_available() else torch.float32
    trainer = Trainer(recipe, config, config, read_encoded(last), dtype=dtype)
    trainer.done = recipe.steps

    def measured(chosen: Sequence[Folder], weights: Sequence[float]) -> HeldOut:
        _fill(trainer.model, chosen, weights, last)
        return trainer.held_out(MEASURED, stored=True)

    each = list[HeldOut]()
    for folder in folders:
        progress("measuring", len(each), len(folders) + 1)
        each.append(measured([folder], [1.0]))
    progress("measuring", len(folders), len(folders) + 1)
    mean = measured(folders, [part / sum(parts) for part in parts])
    progress("measuring", len(folders) + 1, len(folders) + 1)
    raw = recipe.raw_config(config.vocab_size - 256, long=True)
    return Averaged(each, mean, export(out, trainer.model, raw, last.tokenizer))


def _checked(runs: Sequence[Path], shares: Sequence[float]) -> Sequence[float]:
    parts = list(shares) or [1.0] * len(runs)
    if len({run.resolve() for run in runs}) < 2 or len(parts) != len(runs):
        raise RequestError("a mean is of two runs or more, with a share of each", "Name all runs, and --shares 1,2.")
    if not all(part > 0 for part in parts) or not math.isfinite(sum(parts)):
        raise RequestError("shares are numbers over 0", "Such as: --shares 1,2.")
    return parts


def _can_be_written(out: Path, runs: Sequence[Path]) -> None:
    """What a run goes on from is never overwritten."""
    if out.exists() and not out.is_dir():
        raise RequestError(f"{out} is a file", "Give a folder for the checkpoint.")
    for run in runs:
        if out.resolve().is_relative_to(run.resolve()):
            raise RequestError(f"{out} is in the folder of the run {run}", "Give a folder outside of all runs.")


def _is_finished(folder: Folder) -> None:
    recipe, state = recipe_of(folder), Checkpoint(folder.state)
    done = int(state.array(STEP)[0]) if STEP in state else 0
    if done < recipe.steps:
        raise TrainingError(
            f"{folder.path} is not finished: {done} of {recipe.steps} steps", "Go on with it: inference_backend train."
        )


def _matches(folder: Folder, last: Folder, recipe: Recipe) -> None:
    if recipe_of(folder).raw_config(0, long=True) != recipe.raw_config(0, long=True):
        raise TrainingError(f"{folder.path} has other sizes than {last.path}", "Name runs of one shape.")
    if not _ranks(last).keys() <= _ranks(folder).keys():
        raise TrainingError(
            f"{folder.path} and {last.path} have different tokenizers",
            "Only runs of which one began with the other's checkpoint, as it was or behind `retoken`, have a mean.",
        )


def _ranks(folder: Folder) -> dict[bytes, int]:
    return read_ranks(folder.tokenizer / "tiktoken.model")


@torch.no_grad()
def _fill(model: torch.nn.Module, folders: Sequence[Folder], shares: Sequence[float], last: Folder) -> None:
    """Takes over the sum of the runs' weights, each times its share, added in float64; rows of tokens in the order of `last`."""
    states, known = [Checkpoint(folder.state) for folder in folders], _ranks(last)
    tokens = sorted(known, key=known.__getitem__)
    rows = [rows_of(_ranks(folder), tokens) for folder in folders]

    def weight(name: str, tensor: torch.Tensor, number: int) -> NDArray[Any]:
        if name not in states[number]:
            raise _other_sizes(folders[number], name)
        array = np.array(states[number].array(name), np.float64)
        if name in BY_TOKEN and len(array) == rows[number][-1] + 1:
            array = array[rows[number]]
        if array.shape != tuple(tensor.shape):
            raise _other_sizes(folders[number], name)
        return array

    for name, tensor in model.state_dict().items():
        weighted = [share * weight(name, tensor, number) for number, share in enumerate(shares)]
        tensor.copy_(torch.from_numpy(np.sum(weighted, axis=0)))


def _other_sizes(folder: Folder, name: str) -> TrainingError:
    return TrainingError(f"{folder.state / SINGLE} has other sizes: {name}", "Name runs of one shape.")
