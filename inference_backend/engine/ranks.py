"""One model over several processes of this host: rank 0 schedules and tells the others what to run.

Every rank holds its share of the weights, and the whole cache of latents or, split by context, its share of that too. A step is
one small message through a pipe to each, then the same forward on all, whose sums over the ranks keep them in step (nccl on GPUs,
gloo without). No rank outlives rank 0, and none is missed: one that ends, ends the engine.
"""

import atexit
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias

import torch
from numpy.typing import NDArray

from inference_backend.engine.runner import Chunk
from inference_backend.engine.torch_runner import TorchRunner
from inference_backend.errors import EngineError
from inference_backend.follower import following, speak_over_loopback
from inference_backend.model.model import Model
from inference_backend.model.parallel import Ranks

Progress: TypeAlias = Callable[[str, int, int], None]
LoadRank: TypeAlias = Callable[[Ranks, str, Progress], tuple[Model, int]]
"""Loads one rank's share onto a device ("cpu", "cuda:3"), and tells for how many blocks of the cache this rank has room.

Called in the rank's own process, so it must be picklable."""

STEP_TIMEOUT = timedelta(minutes=30)
"""How long a rank waits for the others within a step; the first one compiles kernels."""


class RankedRunner:
    """Rank 0 of `ranks.size` processes; `ranks` says whether the cache is split.

    A rank that ends, or a step that fails on one, ends the engine: `failure` says why, and every later call raises EngineError.
    """

    def __init__(self, load: LoadRank, ranks: Ranks, device: str = "cpu", progress: Progress | None = None) -> None:
        """`device` is "cpu", or "cuda" for one GPU per rank. Raises EngineError, after having ended all other processes."""
        self._ranks, self._failure = replace(ranks, rank=0), ""
        self._device, self._asking = device, threading.Lock()
        self._own: TorchRunner | None = None
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []
        context = torch.multiprocessing.get_context("spawn")
        atexit.register(self._leave)
        try:
            with tempfile.TemporaryDirectory(prefix="kimi-ranks-") as folder:
                store = str(Path(folder) / "store")
                resource_tracker.ensure_running()  # to start it takes the signal mask back
                for rank in range(1, ranks.size):
                    ours, theirs = context.Pipe()
                    arguments = (load, replace(ranks, rank=rank), device, store, theirs)
                    process = context.Process(target=_serve_rank, args=arguments, name=f"rank {rank}", daemon=True)
                    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it inherits that: Ctrl-C is rank 0's
                    process.start()
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                    theirs.close()
                    self._processes.append(process)
                    self._pipes.append(ours)
                self._answers("begun")
                _join(self._ranks, device, store)
                self._answers("joined")
            self._load(load, _device(self._ranks, device), progress)
        except BaseException as error:
            reason = self.failure
            self.close()
            if reason and not isinstance(error, EngineError) and isinstance(error, Exception):
                raise EngineError(reason) from error
            raise

    def _load(self, load: LoadRank, device: str, progress: Progress | None) -> None:
        def told(what: str, done: int, total: int) -> None:
            self._check()
            if progress is not None:
                progress(what, done, total)

        model, room = load(self._ranks, device, told)
        room = min([room, *self._answers("loaded")])
        self.config, self.block_count = model.config, room * (self._ranks.size if self._ranks.split else 1)
        self._tell("begin", self.block_count)
        self._own = TorchRunner(model, self.block_count)
        self._answers("ready")

    @property
    def failure(self) -> str:
        with self._asking:  # any thread may ask, but a message is read by one of them
            if self._failure:
                return self._failure
            for process, pipe in zip(self._processes, self._pipes, strict=True):
                if wait([process.sentinel], 0):
                    self._failure = _last_words(process, pipe)
                    break
            return self._failure

    def forward(self, chunks: Sequence[Chunk]) -> NDArray[Any]:
        return self._all("forward", chunks)

    def copy_block(self, source: int, target: int) -> None:
        self._all("copy_block", source, target)

    def read_block(self, block: int) -> bytes:
        owner = self._owner(block)
        if owner == 0:
            return self._mine.read_block(block)
        self._tell("read_block", block, to=owner)
        return bytes(self._answer(owner, "read_block"))

    def write_block(self, block: int, data: bytes) -> None:
        self._mine.check_block(data)
        if not self._ranks.split:
            self._all("write_block", block, data)
        elif (owner := self._owner(block)) == 0:
            self._mine.write_block(block, data)
        else:
            self._tell("write_block", block, data, to=owner)

    def close(self) -> None:
        """Ends the other ranks; they are killed where they do not follow within ten seconds."""
        well = self._own is not None and not self.failure
        for pipe in self._pipes:
            pipe.close()
        for each in self._processes:
            each.join(10 if well else 0)
            if each.is_alive():
                each.kill()
                each.join()
        self._processes, self._pipes = [], []
        atexit.unregister(self._leave)
        if self._own is not None:
            self._own.close()
        if torch.distributed.is_initialized() and (well or self._device == "cpu"):  # nccl waits for those who are gone
            torch.distributed.destroy_process_group()

    @property
    def _mine(self) -> TorchRunner:
        self._check()
        assert self._own is not None
        return self._own

    def _owner(self, block: int) -> int:
        return self._ranks.owner(block) if self._ranks.split else 0

    def _all(self, name: str, *arguments: Any) -> Any:
        """The call on every rank; answers this rank's result. Raises EngineError where any of them fails."""
        own = self._mine
        self._tell(name, *arguments)
        try:
            return getattr(own, name)(*arguments)
        except Exception as error:  # the others are in the middle of it: from here on nothing fits together
            wait([process.sentinel for process in self._processes], 2)
            self._failure = self.failure or f"the ranks of the model have lost one another: {str(error)[:200]}"
            raise EngineError(self._failure) from error

    def _tell(self, *call: Any, to: int = 0) -> None:
        try:
            for pipe in [self._pipes[to - 1]] if to else self._pipes:
                pipe.send(call)
        except OSError as error:
            wait([process.sentinel for process in self._processes], 2)
            self._failure = self.failure or f"a rank of the model does not listen: {error}"
            raise EngineError(self._failure) from error

    def _answers(self, what: str) -> list[Any]:
        return [self._answer(rank, what) for rank in range(1, self._ranks.size)]

    def _answer(self, rank: int, what: str) -> Any:
        """What the rank says to `what`. Raises EngineError as soon as any rank ends."""
        pipe = self._pipes[rank - 1]
        while not pipe.poll(0):
            wait([pipe, *(process.sentinel for process in self._processes)])
            if not pipe.poll(0):
                self._check()
        try:
            said, value = pipe.recv()
        except (EOFError, OSError):
            said, value = "", None
        if said != what:
            self._failure = (f"rank {rank} of the model ended: {value}" if value else "") or self._ended(rank)
            raise EngineError(self._failure)
        return value

    def _ended(self, rank: int) -> str:
        process = self._processes[rank - 1]
        process.join(10)
        return _last_words(process, self._pipes[rank - 1])

    def _check(self) -> None:
        if self.failure:
            raise EngineError(self.failure)

    def _leave(self) -> None:
        """At the end of a program that did not close it: nothing stays, and nobody waits for a rank that is gone."""
        broken = self.failure
        for each in self._processes:
            each.kill()
        if broken:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)


def _last_words(process: Any, pipe: Connection) -> str:
    """Why a rank that has ended did so."""
    try:
        while pipe.poll(0):
            said, value = pipe.recv()
            if said == "failed":
                return f"{process.name} of the model ended: {value}"
    except (EOFError, OSError):
        pass
    process.join(1)
    code = process.exitcode
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"{process.name} of the model ended ({how})"


def _serve_rank(load: LoadRank, ranks: Ranks, device: str, store: str, pipe: Connection) -> None:
    """The life of a rank but the first."""
    with following(pipe):
        pipe.send(("begun", None))
        _join(ranks, device, store)
        pipe.send(("joined", None))
        model, room = load(ranks, _device(ranks, device), lambda what, done, total: None)
        pipe.send(("loaded", room))
        _, block_count = pipe.recv()
        runner = TorchRunner(model, block_count)
        pipe.send(("ready", None))
        while True:
            name, *arguments = pipe.recv()
            answer = getattr(runner, name)(*arguments)
            if name == "read_block":
                pipe.send((name, answer))


def _device(ranks: Ranks, device: str) -> str:
    return f"cuda:{ranks.rank}" if device == "cuda" else "cpu"


def _join(ranks: Ranks, device: str, store: str) -> None:
    """Joins the group of all ranks, which meet in a file of ours and speak over loopback."""
    speak_over_loopback("GLOO", "NCCL")
    if device == "cuda":
        torch.cuda.set_device(ranks.rank)
    else:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks.size))
    torch.distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=torch.distributed.FileStore(store, ranks.size),
        rank=ranks.rank,
        world_size=ranks.size,
        timeout=STEP_TIMEOUT,
    )
