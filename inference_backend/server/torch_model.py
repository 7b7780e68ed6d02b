"""A torch model for serving: on which devices, in how many processes, in which type, with how much room for its cache."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from inference_backend.checkpoint.folder import Progress
from inference_backend.config import ModelConfig
from inference_backend.engine.ranks import RankedRunner
from inference_backend.engine.runner import Runner
from inference_backend.engine.torch_runner import TorchRunner
from inference_backend.errors import RequestError
from inference_backend.gpus import this_machine
from inference_backend.load import open_weights
from inference_backend.model.model import Model, check_ranks
from inference_backend.model.parallel import ALONE, Ranks
from inference_backend.plan import ranks_needed, sizes_of
from inference_backend.server.memory import cache_blocks

if TYPE_CHECKING:
    from inference_backend.server.loading import ModelOptions


@dataclass(frozen=True, slots=True)
class Load:
    """The share of one rank: a `LoadRank`."""

    folder: Path
    config: ModelConfig
    bfloat16: bool
    cache: float  # bytes for the cache of each rank; 0: what is free

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.bfloat16 else torch.float32

    def __call__(self, ranks: Ranks, device: str, progress: Progress) -> tuple[Model, int]:
        stored, layers = open_weights(self.folder, self.config, progress=progress), self.config.num_hidden_layers

        def layer(number: int) -> None:
            progress("loading layers", number + 1, layers)

        model = Model.load(
            self.config, stored.tensors, dtype=self.dtype, device=device, ranks=ranks, progress=layer
        )  # fmt: skip
        if model.embedding.is_cuda:
            free = torch.cuda.mem_get_info(model.embedding.device)[0] * 0.9 - 2e9
        else:
            free = (this_machine().memory - _size(self.folder) * 2) / 2 / ranks.size
        parts = ranks.size if ranks.split else 1
        return model, cache_blocks(self.config, self.dtype.itemsize, free, self.cache, parts)


def torch_runner(options: "ModelOptions", config: ModelConfig, progress: Progress) -> tuple[Runner, str, bool]:
    """The runner, a text that says how exact its numbers are, and whether it is on a GPU. Raises EngineError."""
    device = _device(options.device)
    # without a GPU float32 is the quicker type, where it fits
    bfloat16 = device.type != "cpu" or _size(options.folder) * 4 > this_machine().memory
    load = Load(options.folder, config, bfloat16, options.cache_gb * 1e9)
    kind, on_gpu = f"torch {load.dtype}", device.type == "cuda"
    size = options.ranks or _needed(options, config, device)
    if size == 1:
        return TorchRunner(*load(ALONE, str(device), progress)), kind, on_gpu
    check_ranks(config, size)
    if on_gpu and (device.index is not None or torch.cuda.device_count() < size):
        raise RequestError(
            f"{size} ranks want GPUs 0 to {size - 1}; here there are {torch.cuda.device_count()}",
            "Choose fewer with --ranks, and no --device with a number; CUDA_VISIBLE_DEVICES tells which GPUs there are.",
        )
    open_weights(options.folder, config)  # what is wrong with them is said before anything is started
    runner = RankedRunner(load, Ranks(0, size, options.split_context), device.type, progress)
    return runner, kind, on_gpu


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise RequestError(f"torch has no device {name[:40]!r} here", "--device is cpu, cuda or cuda:N.") from None
    return device


def _needed(options: "ModelOptions", config: ModelConfig, device: torch.device) -> int:
    """As few GPUs as hold the weights and one full context, or else all that can share them; one process on the CPU."""
    gpus = this_machine().gpus[: torch.cuda.device_count()]
    if device.type != "cuda" or device.index is not None or not gpus:
        return 1
    return ranks_needed(config, sizes_of(config), gpus, split=options.split_context)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
