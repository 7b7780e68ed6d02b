"""The weights of a checkpoint, memory-mapped: as they are stored, or dequantised one by one when they are used."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.checkpoint.folder import Checkpoint, Progress, quiet
from inference_backend.config import ModelConfig
from inference_backend.errors import CheckpointError
from inference_backend.quant import SCHEMES
from inference_backend.tensors import Weight, check_tensors, weights_of

Array = NDArray[Any]
CACHE_BYTES = 4 << 30


class StoredTensors(Mapping[str, Array]):
    """The tensors of a checkpoint as they are stored, by their names without the prefix: views into the mapped files."""

    def __init__(self, checkpoint: Checkpoint, prefix: str, skipped: list[str]) -> None:
        self._checkpoint, self._prefix = checkpoint, prefix
        self._names = {name.removeprefix(prefix): name for name in checkpoint.keys() - set(skipped)}

    def __getitem__(self, name: str) -> Array:
        """Raises CheckpointError for scales that are not finite: they are few, and one of them spoils every answer."""
        array = self._checkpoint.array(self._names[name])
        if name.endswith((".weight_scale", ".weight_scale_inv")) and not np.isfinite(array).all():
            raise CheckpointError(f"{self._names[name]} holds scales that are not finite")
        return array

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class StoredWeights:
    """Every weight of the model, by its name without the prefix, in its scheme. `tensors` are what is stored for them."""

    def __init__(self, checkpoint: Checkpoint, config: ModelConfig) -> None:
        """Raises CheckpointError unless every tensor is there, of the right shape and type, and none is unknown."""
        self.checkpoint = checkpoint
        self.skipped = check_tensors(config, checkpoint, str(checkpoint.folder))
        self.weights: dict[str, Weight] = {weight.name: weight for weight in weights_of(config)}
        self.tensors = StoredTensors(checkpoint, config.prefix, self.skipped)
        self._prefix = config.prefix

    def params(self, name: str) -> dict[str, Array]:
        """What is stored for the weight, as its scheme names it, without copies; checked where that is cheap.

        Raises CheckpointError where a scale is not finite, or where the shape that is stored contradicts it.
        """
        stem = name.removesuffix("weight")
        params = {short.removeprefix(stem): self.tensors[short] for short in self.weights[name].stored()}
        shape = params.get("weight_shape")
        if shape is not None and tuple(shape.tolist()) != self.weights[name].shape:
            raise CheckpointError(
                f"{self._prefix}{stem}weight_shape says {shape.tolist()}, but config.json {list(self.weights[name].shape)}"
            )
        return params

    def dequantised(self, name: str, *, rounded: bool = False) -> Array:
        """float32: exact, or rounded to bfloat16 as other engines have it. Raises CheckpointError where it is not finite."""
        weight = self.weights[name]
        params = self.params(name)
        if len(weight.shape) == 1:
            (array,) = params.values()
            values = array.astype(np.float32, copy=False)
        else:
            values = SCHEMES[weight.scheme].dequantise(params, rounded=rounded)
        if not np.isfinite(values).all():
            raise _not_finite(self._prefix + name)
        return values

    def verify(self, progress: Progress = quiet) -> None:
        """Reads everything once: every number is finite. Raises CheckpointError that names the first tensor that is not so."""
        file = ""
        for number, name in enumerate(self.weights):
            progress("checking weights", number, len(self.weights))
            for suffix, array in self.params(name).items():
                if array.dtype.kind not in "iu" and not np.isfinite(array).all():
                    raise _not_finite(self._prefix + name.removesuffix("weight") + suffix)
            now = self.checkpoint.file_of(self._prefix + next(iter(self.weights[name].stored())))
            if now != file:
                self.checkpoint.release()
            file = now
        progress("checking weights", len(self.weights), len(self.weights))


class Dequantised(Mapping[str, Array]):
    """float32 weights for the reference, each made when it is asked for; the last ones used are kept, up to `cache_bytes`."""

    def __init__(self, stored: StoredWeights, *, rounded: bool, cache_bytes: int) -> None:
        self.stored, self._rounded = stored, rounded
        self._kept: OrderedDict[str, Array] = OrderedDict()
        self._room = cache_bytes

    def __getitem__(self, name: str) -> Array:
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        values = self.stored.dequantised(name, rounded=self._rounded)
        self._kept[name] = values
        self._room -= values.nbytes
        while self._room < 0 and len(self._kept) > 1:
            self._room += self._kept.popitem(last=False)[1].nbytes
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self.stored.weights)

    def __len__(self) -> int:
        return len(self.stored.weights)


def open_weights(folder: Path, config: ModelConfig, *, progress: Progress = quiet) -> StoredWeights:
    """The weights as they are stored, checked; `.tensors` is what the torch model takes. Raises CheckpointError."""
    return StoredWeights(Checkpoint(folder, progress=progress), config)


def load_weights(
    folder: Path,
    config: ModelConfig,
    *,
    rounded: bool = False,
    cache_bytes: int = CACHE_BYTES,
    progress: Progress = quiet,
) -> Mapping[str, Array]:
    """The weights as float32 by the checkpoint's names without its prefix: what `reference.Reference` takes.

    `rounded` gives the numbers of engines that dequantise to bfloat16. Raises CheckpointError, also later, when a damaged tensor
    is first used.
    """
    return Dequantised(open_weights(folder, config, progress=progress), rounded=rounded, cache_bytes=cache_bytes)


def _not_finite(name: str) -> CheckpointError:
    return CheckpointError(f"{name} holds numbers that are not finite")
