"""A training run over several processes of this machine: rank 0 says what to do next, the others do the same.

Each process has its own model and data; what to do is one small message through a pipe to each. They meet in a file and speak
over loopback (gloo). No process outlives rank 0, and none is missed: one that ends, ends the run; the same command goes on.
"""

import signal
import tempfile
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from inference_backend.errors import EngineError, TrainingError
from inference_backend.follower import following, speak_over_loopback
from inference_backend.training.answers import HeldOut
from inference_backend.training.group import Group
from inference_backend.training.trainer import Measured, Trainer

Load: TypeAlias = Callable[[], Trainer]
"""Makes a trainer that is as far as the run is. Called in each process, so it must be picklable."""

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others within a step."""
GO_ON = "The same command goes on from the last state."


class Team:
    """Rank 0 and `processes` - 1 others, each with a trainer of its own. Raises EngineError, after having ended the others."""

    def __init__(self, load: Load, processes: int = 1, trainer: Trainer | None = None) -> None:
        """`trainer` is rank 0's, where it is loaded already."""
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []
        self.trainer = trainer or load()
        if processes == 1:
            return
        context = torch.multiprocessing.get_context("forkserver")  # torch is loaded once for all others
        context.set_forkserver_preload([__name__])
        try:
            with tempfile.TemporaryDirectory(prefix="kimi-training-") as folder:
                join = partial(_join, size=processes, store=str(Path(folder) / "store"))
                resource_tracker.ensure_running()  # to start it takes the signal mask back
                for rank in range(1, processes):
                    self._start(context, partial(join, rank), load)
                self._answers("begun")
                self.trainer.join(join(0))
                self._answers("ready")
        except BaseException as error:
            self._fail(error)
            raise

    def _start(self, context: Any, join: Callable[[], Group], load: Load) -> None:
        ours, theirs = context.Pipe()
        name = f"process {len(self._pipes) + 2} of the training"
        process = context.Process(
            target=_follow, args=(join, load, torch.get_num_threads(), theirs), name=name, daemon=True
        )
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it inherits that: Ctrl-C is rank 0's
        process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        self._processes.append(process)
        self._pipes.append(ours)

    def step(self) -> Measured:
        """The next step of all. Raises EngineError."""
        measured: Measured = self._all("step")
        return measured

    def held_out(self, most: int = 128, *, stored: bool | None = None) -> HeldOut:
        found: HeldOut = self._all("held_out", most, stored=stored)
        return found

    def exactly_right(self, begin: int, end: int) -> NDArray[np.bool_]:
        flags: NDArray[np.bool_] = self._all("exactly_right", begin, end)
        return flags

    def know(self, right: NDArray[np.bool_]) -> None:
        self._all("know", right)

    def close(self) -> None:
        """Ends the others; they are killed where they do not follow within ten seconds."""
        self._end(10)

    def _end(self, seconds: float) -> None:
        for pipe in self._pipes:
            pipe.close()
        for each in self._processes:
            each.join(seconds)
            if each.is_alive():
                each.kill()
                each.join()
        if self._processes and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        self._processes, self._pipes = [], []

    def _all(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            for pipe in self._pipes:
                pipe.send((name, args, options))
            return getattr(self.trainer, name)(*args, **options)
        except BaseException as error:
            self._fail(error)
            raise

    def _answers(self, what: str) -> None:
        """Waits until all say `what`. Raises TrainingError as soon as any of them ends."""
        for pipe in self._pipes:
            while not pipe.poll(0):
                wait([pipe, *(process.sentinel for process in self._processes)])
                if not pipe.poll(0) and (words := self._last_words()):
                    raise TrainingError(words, GO_ON)
            try:
                said, value = pipe.recv()
            except (EOFError, OSError):
                said, value = "", ""
            if said != what:
                process = self._processes[self._pipes.index(pipe)]
                raise TrainingError(_ended(process, str(value or "")), GO_ON)

    def _fail(self, error: BaseException) -> None:
        """Ends the others. Raises TrainingError where one of them is why; else `error` is for the caller to raise."""
        if isinstance(error, Exception) and not isinstance(error, EngineError):
            wait([process.sentinel for process in self._processes], 2)  # a sum fails sooner than its process is gone
        words = self._last_words() if isinstance(error, Exception) else ""
        self._end(0)
        if words and not isinstance(error, EngineError):
            raise TrainingError(words, GO_ON) from error

    def _last_words(self) -> str:
        """Why a process that has ended did so; nothing while all live."""
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            if not wait([process.sentinel], 0):
                continue
            return _ended(process, _failure(pipe))
        return ""


def _ended(process: Any, words: str) -> str:
    process.join(10)
    code = process.exitcode
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"{process.name} ended: {words or how}"


def _failure(pipe: Connection) -> str:
    try:
        while pipe.poll(0):
            said, value = pipe.recv()
            if said == "failed":
                return str(value)
    except (EOFError, OSError):
        pass
    return ""


def _follow(join: Callable[[], Group], load: Load, threads: int, pipe: Connection) -> None:
    """The life of a process but the first."""
    with following(pipe):
        torch.set_num_threads(threads)
        trainer = load()
        pipe.send(("begun", None))
        trainer.join(join())
        pipe.send(("ready", None))
        while True:
            name, args, options = pipe.recv()
            getattr(trainer, name)(*args, **options)


def _join(rank: int, *, size: int, store: str) -> Group:
    """Joins the group of all processes."""
    speak_over_loopback("GLOO")
    torch.distributed.init_process_group(
        "gloo",
        store=torch.distributed.FileStore(store, size),
        rank=rank,
        world_size=size,
        timeout=TIMEOUT,
    )
    return Group(rank, size)
