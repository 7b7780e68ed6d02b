"""Rewrites a checkpoint in another scheme: file by file, one tensor in memory at a time, resumable, never half there.

The new folder gets its config.json last, so that a folder that has one is whole. Until then `.converting.json` says from what and
to what it is being converted: the same command goes on with the files that are missing, any other one refuses the folder.
"""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.checkpoint.folder import Checkpoint, Progress, quiet
from inference_backend.checkpoint.header import DTYPES
from inference_backend.checkpoint.writer import ShardWriter, is_complete, write_index, write_text
from inference_backend.config import load_config
from inference_backend.errors import CapacityError, CheckpointError, RequestError
from inference_backend.load import StoredWeights
from inference_backend.quant import SCHEMES
from inference_backend.quantisation import Quantisation, read_quantisation
from inference_backend.target import MARKER, claimed, keep_beside
from inference_backend.tensors import VISION, Weight, weights_of

K2_IGNORED = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"]
VISION_IGNORED = [f"re:{part.removesuffix('.')}.*" for part in VISION]
INT4_WEIGHTS: dict[str, Any] = {
    "actorder": None, "block_structure": None, "dynamic": False, "group_size": 32, "num_bits": 4, "observer": "minmax",
    "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int",
}  # fmt: skip


def _int4_config(has_vision: bool) -> dict[str, Any]:
    """As K2-Thinking has it: routed experts are int4, all else stays bf16."""
    group = {"input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": INT4_WEIGHTS}
    return {
        "config_groups": {"group_0": group},
        "format": "pack-quantized",
        "ignore": K2_IGNORED + (VISION_IGNORED if has_vision else []),
        "kv_cache_scheme": None,
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
    }


def _fp8_config(has_vision: bool) -> dict[str, Any]:
    """As DeepSeek-V3 and K2-Instruct have it: all linear layers but the routers and the output head."""
    skipped = {"modules_to_not_convert": [part.removesuffix(".") for part in VISION]} if has_vision else {}
    return {
        "activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128], **skipped
    }  # fmt: skip


CONFIGS: dict[str, Callable[[bool], dict[str, Any] | None]] = {
    "bf16": lambda has_vision: None,
    "fp8": _fp8_config,
    "int4": _int4_config,
}
"""`quantization_config` of what is written, by scheme; whether vision tensors are beside the language model's."""


Tensors = dict[str, tuple[str, tuple[int, ...]]]
"""Full name to (dtype, shape)."""
Made = list[tuple[str, NDArray[Any]]]
"""Tensors by their names without prefix."""


@dataclass(frozen=True, slots=True)
class Converted:
    files: int
    reused: int  # of the files: whole already, from a run that was interrupted
    bytes_before: int
    bytes_after: int
    dropped: int  # tensors of multi-token prediction, which would fit no config


@dataclass(frozen=True, slots=True)
class _Shard:
    """One file of the result, and what it is made of."""

    name: str
    weights: tuple[Weight, ...]  # as in the source
    copied: tuple[str, ...]  # full names: vision

    def tensors(self, job: "_Job") -> Tensors:
        """All that the file will hold."""
        found = {name: (job.checkpoint[name].dtype, job.checkpoint[name].shape) for name in self.copied}
        for weight in self.weights:
            for short, param in job.target[weight.name].stored().items():
                found[job.prefix + short] = (param.kinds[0], param.shape)
        return found


@dataclass(frozen=True, slots=True)
class _Job:
    checkpoint: Checkpoint
    stored: StoredWeights
    target: dict[str, Weight]
    prefix: str


def convert(source: Path, target: Path, to: str, *, jobs: int = 1, progress: Progress = quiet) -> Converted:
    """Writes the checkpoint in `source` to `target`, its linear layers in scheme `to`; raises EngineError.

    What is in that scheme already is copied bit for bit; what is not goes through float32, exactly. `jobs` tensors at a time are
    in memory, each on a thread: NumPy works outside the interpreter's lock.
    """
    if to not in CONFIGS:
        raise RequestError(f"{to[:40]!r} is no scheme to convert to", f"There are {', '.join(CONFIGS)}.")
    config, raw = load_config(source), json.loads((source / "config.json").read_bytes())
    new_raw = _config_for(raw, to)
    goal = replace(config, num_nextn_predict_layers=0, quantisation=_quantisation_of(new_raw))
    checkpoint = Checkpoint(source, progress=progress)
    job = _Job(checkpoint, StoredWeights(checkpoint, config), {w.name: w for w in weights_of(goal)}, config.prefix)
    shards, dropped = _shards(job)
    contents = {shard.name: shard.tensors(job) for shard in shards}
    try:
        with claimed(source, target, to, checkpoint):
            reused = _write(job, shards, contents, target, jobs, progress)
            after = _finish(source, target, contents, new_raw)
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be written: {error.strerror or error}", "The same command goes on where this one stopped."
        ) from None
    before = sum(entry.end - entry.begin for entry in checkpoint.values())
    return Converted(len(shards), reused, before, after, dropped)


def _finish(source: Path, target: Path, contents: dict[str, Tensors], new_raw: dict[str, Any]) -> int:
    """What belongs beside the weights, config.json last; returns the bytes of all tensors."""
    total = sum(_bytes(*tensor) for content in contents.values() for tensor in content.values())
    if len(contents) > 1:
        write_index(target, {name: shard for shard, content in contents.items() for name in content}, total)
    keep_beside(source, target)
    write_text(target / "config.json", json.dumps(new_raw, indent=2) + "\n")
    (target / MARKER).unlink()
    return total


def _write(
    job: _Job, shards: list[_Shard], contents: dict[str, Tensors], target: Path, jobs: int, progress: Progress
) -> int:  # fmt: skip
    """Writes the files that are not whole already; returns how many were. Raises CapacityError for a full disk."""
    done = {shard.name for shard in shards if is_complete(target / shard.name, contents[shard.name])}
    missing = sum(_bytes(*tensor) for name in contents if name not in done for tensor in contents[name].values())
    free = shutil.disk_usage(target).free
    if missing > free:
        raise CapacityError(f"{target} has room for {free / 1e9:.1f} GB, and {missing / 1e9:.1f} GB are to be written")
    number, total = 0, sum(len(shard.weights) for shard in shards)
    for shard in shards:
        if shard.name in done:
            number += len(shard.weights)
            continue
        with ShardWriter(target / shard.name, contents[shard.name]) as writer:
            for name in shard.copied:
                writer.write(name, job.checkpoint.array(name))
            for made in _ahead(lambda weight: list(_rewritten(job, weight)), shard.weights, jobs):
                progress("converting", number, total)
                number += 1
                for short, array in made:
                    writer.write(job.prefix + short, array)
        job.checkpoint.release()
    progress("converting", total, total)
    return len(done)


def _ahead(work: Callable[[Weight], Made], weights: Sequence[Weight], jobs: int) -> Iterator[Made]:
    """The results in order, `jobs` of them under way at most."""
    if jobs <= 1:
        yield from map(work, weights)
        return
    with ThreadPoolExecutor(jobs) as pool:
        under_way: deque[Future[Made]] = deque()
        for weight in weights:
            under_way.append(pool.submit(work, weight))
            if len(under_way) == jobs:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _rewritten(job: _Job, weight: Weight) -> Iterator[tuple[str, NDArray[Any]]]:
    """The tensors of one weight as they will be stored."""
    goal = job.target[weight.name]
    stem = weight.name.removesuffix("weight")
    params = job.stored.params(weight.name)
    kinds = {short: DTYPES[param.kinds[0]] for short, param in goal.stored().items()}
    if goal.scheme != weight.scheme or (
        goal.scheme == "bf16" and len(goal.shape) == 2 and not _is(params, kinds, stem)
    ):
        made = SCHEMES[goal.scheme].quantise(job.stored.dequantised(weight.name))
        params = {suffix: np.asarray(array) for suffix, array in made.items()}
    for suffix, array in params.items():
        yield stem + suffix, array.astype(kinds[stem + suffix], copy=False)


def _is(params: dict[str, NDArray[Any]], kinds: dict[str, np.dtype[Any]], stem: str) -> bool:
    return all(array.dtype == kinds[stem + suffix] for suffix, array in params.items())


def _shards(job: _Job) -> tuple[list[_Shard], int]:
    """One file for each of the source, under the same name; a weight is written where its first tensor lay."""
    weights: dict[str, list[Weight]] = {file: [] for file in job.checkpoint.files}
    copied: dict[str, list[str]] = {file: [] for file in job.checkpoint.files}
    for weight in job.stored.weights.values():
        first = next(iter(weight.stored()))
        weights[job.checkpoint.file_of(job.prefix + first)].append(weight)
    kept = [name for name in job.stored.skipped if name.startswith(VISION)]
    for name in kept:
        copied[job.checkpoint.file_of(name)].append(name)
    shards = [
        _Shard(file, tuple(weights[file]), tuple(copied[file]))
        for file in job.checkpoint.files
        if weights[file] or copied[file]
    ]
    return shards, len(job.stored.skipped) - len(kept)


def _config_for(raw: dict[str, Any], to: str) -> dict[str, Any]:
    """config.json of the result: the source's, with another quantization_config and without multi-token prediction."""
    new = {key: value for key, value in raw.items() if key != "quantization_config"}
    wrapped = isinstance(raw.get("text_config"), dict)
    inner = new
    if wrapped:
        inner = new["text_config"] = {k: v for k, v in raw["text_config"].items() if k != "quantization_config"}
    for name in ("num_nextn_predict_layers", "num_mtp_layers"):
        if inner.get(name):
            inner[name] = 0
    for name in ("torch_dtype", "dtype"):
        if name in inner:
            inner[name] = "bfloat16"
    quantisation = CONFIGS[to](wrapped)
    if quantisation is not None:
        inner["quantization_config"] = quantisation
    return new


def _quantisation_of(raw: dict[str, Any]) -> Quantisation:
    inner = raw["text_config"] if isinstance(raw.get("text_config"), dict) else raw
    return read_quantisation(inner.get("quantization_config"), "config.json")


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=object)) * DTYPES[dtype].itemsize
