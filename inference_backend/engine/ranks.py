"""One model over several processes of this host: rank 0 schedules and tells the others what to run.

Every rank holds its share of the weights and the whole cache of latents. A step is one small message to all (over gloo), then
the same forward on each, whose sums over the ranks keep them in step (nccl on GPUs, gloo without).
"""

import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray

from inference_backend.engine.runner import Chunk
from inference_backend.engine.torch_runner import TorchRunner
from inference_backend.errors import EngineError
from inference_backend.model.parallel import Ranks

MakeRunner: TypeAlias = Callable[[Ranks, str], TorchRunner]
"""Loads one rank's share onto a device ("cpu", "cuda:3"). Called in the rank's own process, so it must be picklable."""

START_TIMEOUT = 3600.0
"""Seconds until all ranks have loaded: 594 GB come from a disk at some GB per second."""


class RankedRunner:
    """Rank 0 of `size` processes. A rank that dies ends the engine: the next call raises EngineError."""

    def __init__(self, make: MakeRunner, size: int) -> None:
        port = _free_port()
        context = torch.multiprocessing.get_context("spawn")
        self._others = [
            context.Process(target=_serve_rank, args=(make, rank, size, port), daemon=True, name=f"rank {rank}")
            for rank in range(1, size)
        ]
        for each in self._others:
            each.start()
        device = _join(0, size, port)
        self._own = make(Ranks(0, size), device)
        self.config, self.block_count = self._own.config, self._own.block_count
        self._all("ready")

    def forward(self, chunks: Sequence[Chunk]) -> NDArray[Any]:
        return self._all("forward", chunks)

    def copy_block(self, source: int, target: int) -> None:
        self._all("copy_block", source, target)

    def read_block(self, block: int) -> bytes:
        return self._own.read_block(block)  # the same on every rank

    def write_block(self, block: int, data: bytes) -> None:
        self._all("write_block", block, data)

    def close(self) -> None:
        """Ends the other ranks; they are killed where they do not follow within ten seconds."""
        if all(each.is_alive() for each in self._others):
            _tell(("stop",))
        for each in self._others:
            each.join(10)
            if each.is_alive():
                each.kill()
        torch.distributed.destroy_process_group()

    def _all(self, name: str, *arguments: Any) -> Any:
        """The call on every rank; answers this rank's result. Raises EngineError where another one has ended."""
        self._check()
        try:
            _tell((name, *arguments))
            return getattr(self._own, name)(*arguments) if name != "ready" else None
        except RuntimeError as error:  # what torch raises when a peer has gone
            for each in self._others:
                each.join(2)
            self._check()
            raise EngineError(f"the ranks of the model have lost one another: {str(error)[:200]}") from error

    def _check(self) -> None:
        for each in self._others:
            if not each.is_alive():
                raise EngineError(f"{each.name} of the model ended ({each.exitcode}): the engine cannot go on")


def _tell(call: tuple[Any, ...]) -> None:
    torch.distributed.broadcast_object_list([call], src=0, device=torch.device("cpu"))


def _serve_rank(make: MakeRunner, rank: int, size: int, port: int) -> None:
    runner = make(Ranks(rank, size), _join(rank, size, port))
    while True:
        box: list[Any] = [None]
        torch.distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        name, *arguments = box[0]
        if name == "stop":
            break
        if name != "ready":
            getattr(runner, name)(*arguments)
    torch.distributed.destroy_process_group()


def _join(rank: int, size: int, port: int) -> str:
    """Joins the group of all ranks; answers this rank's device."""
    on_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= size
    device = f"cuda:{rank}" if on_gpus else "cpu"
    if on_gpus:
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpus else "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=START_TIMEOUT),
    )
    return device


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
