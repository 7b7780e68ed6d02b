"""A small training run in a process of its own, to be killed."""

from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch._dynamo  # torch.optim takes it along: loaded once, before processes are forked

from inference_backend.training.recipe import RECIPES
from inference_backend.training.run import train

STEPS = 12
SMALL = replace(
    RECIPES["smoke"], vocabulary=300, hidden=32, heads=2, q_rank=32, kv_rank=32, content=8, rotary=8, value=16, dense=64,
    context=512, steps=STEPS, batch=300,
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
        self._connection.send(f"step {measured.step}")

    def held_out(self, step, found):
        self._connection.send(f"held out {found.loss}")


def run(data: Path, out: Path, connection: Connection) -> None:
    torch.set_num_threads(1)
    train(data, out, SMALL, Told(connection), save_seconds=0.0)
