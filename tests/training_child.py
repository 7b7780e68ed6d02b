"""A small training run in a process of its own, to be killed."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
import torch._dynamo  # torch.optim takes it along: loaded once, before processes are forked

from inference_backend.training.prepare import Folder, encoded_of, tokenizer_of
from inference_backend.training.recipe import RECIPES, Recipe
from inference_backend.training.run import train
from inference_backend.training.trainer import Trainer

FORKS = multiprocessing.get_context("forkserver")
STEPS = 12
SMALL = replace(
    RECIPES["smoke"], vocabulary=300, hidden=32, heads=2, q_rank=32, kv_rank=32, content=8, rotary=8, value=16, dense=64,
    context=512, steps=STEPS, batch=300,
    lr=1e-2, cut=0.5, chains=0.1, long=0.3,
)  # fmt: skip


class Told:
    """A screen at the other end of a pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stage(self, what, done, total):
        self._connection.send(f"stage {what}")

    def note(self, text):
        self._connection.send(text)

    def step(self, measured, total):
        for other in multiprocessing.active_children():
            self._connection.send(f"beside {other.pid}")
        self._connection.send(f"step {measured.step}")

    def held_out(self, step, found):
        self._connection.send(f"held out {found.loss}")


def run(
    data: Path, out: Path, connection: Connection, processes: int = 1, recipe: Recipe = SMALL, begin: Path | None = None
) -> None:
    torch.set_num_threads(1)
    train(data, out, recipe, Told(connection), save_seconds=0.0, processes=processes, begin=begin)


def exact(data: Path, out: Path, recipe: Recipe) -> Trainer:
    """A trainer at step 0 that computes in float64."""
    torch.set_num_threads(1)
    tokenizer = tokenizer_of(Folder(out), recipe, data)
    encoded = encoded_of(Folder(out), recipe, data, tokenizer)
    short, long = (recipe.config(tokenizer.ordinary_count, long=long) for long in (False, True))
    return Trainer(recipe, short, long, encoded, dtype=torch.float64)


class Child:
    """A run in a process of its own, and what it tells."""

    def __init__(self, data, out, processes=1, recipe=SMALL, begin=None):
        self._told, theirs = FORKS.Pipe(duplex=False)
        self.process = FORKS.Process(target=run, args=(data, out, theirs, processes, recipe, begin))
        self.process.start()
        theirs.close()

    def lines(self):
        try:
            while True:
                yield self._told.recv()
        except EOFError:
            self.process.join(60)


@contextmanager
def preloaded() -> Iterator[None]:
    """The server that children are forked from loads torch once; it finds modules by its environment alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        FORKS.set_forkserver_preload(["training_child"])
        forkserver.ensure_running()
        yield
