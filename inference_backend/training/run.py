"""A whole run: data set to checkpoint, in as many pieces as needed."""

import ctypes
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from inference_backend.checkpoint.folder import Progress
from inference_backend.training import state
from inference_backend.training.export import export
from inference_backend.training.journal import Journal
from inference_backend.training.prepare import Folder, claim, encoded_of, tokenizer_of
from inference_backend.training.recipe import Recipe
from inference_backend.training.trainer import HeldOut, Measured, Trainer

EVALUATIONS = 24
"""Measurements on held-out conversations in a run, about."""
SAVE_SECONDS = 120.0
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


class Screen(Protocol):
    """Where a run tells how far it is."""

    def stage(self, what: str, done: int, total: int) -> None: ...
    def note(self, text: str) -> None: ...
    def step(self, measured: Measured, total: int) -> None: ...
    def held_out(self, step: int, found: HeldOut) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run stands after this piece of it."""

    done: int
    steps: int
    held_out: HeldOut  # of the checkpoint
    exact: HeldOut  # of the same weights before they are stored as INT4
    checkpoint: Path
    bytes: int

    @property
    def is_whole(self) -> bool:
        return self.done == self.steps


def train(
    data: Path,
    out: Path,
    recipe: Recipe,
    screen: Screen,
    *,
    seconds: float = float("inf"),
    device: str = "cpu",
    save_seconds: float = SAVE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Goes on with the run in `out`, or begins it, until the recipe's steps are done or `seconds` are over.

    The checkpoint is written at the end of every piece, so that an unfinished model can be tried. Raises EngineError.
    """
    began, folder = clock(), Folder(out)
    keep_memory()
    claim(folder, recipe, data)
    trainer, ordinary = prepared(folder, recipe, data, device, screen.stage)
    trainer.done = state.load(folder.state, trainer.model, trainer.optimiser)
    screen.note(_described(trainer))
    journal, saved, every = Journal(folder.log, trainer.done), clock(), max(recipe.steps // EVALUATIONS, 10)

    def after(measured: Measured) -> bool:
        nonlocal saved
        journal.step(measured)
        screen.step(measured, recipe.steps)
        if trainer.done % every == 0 and trainer.done < recipe.steps:
            found = trainer.held_out()
            journal.held_out(measured.step, found)
            screen.held_out(measured.step, found)
            journal.draw(folder.curves)
        if clock() - saved > save_seconds:
            state.save(folder.state, trainer.model, trainer.optimiser, trainer.done)
            saved = clock()
        return clock() - began > seconds

    trainer.run(after)
    state.save(folder.state, trainer.model, trainer.optimiser, trainer.done)
    exact, found = (trainer.held_out(512, stored=stored) for stored in (False, True))
    screen.held_out(trainer.done, found)
    if trainer.done == recipe.steps:
        journal.held_out(recipe.steps - 1, found)
    journal.draw(folder.curves)
    journal.close()
    size = export(folder.checkpoint, trainer.model, recipe.raw_config(ordinary, long=True), folder.tokenizer)
    return Outcome(trainer.done, recipe.steps, found, exact, folder.checkpoint, size)


def _described(trainer: Trainer) -> str:
    conversations, start = trainer.data.kinds["train"], trainer.data.start
    mean = sum(len(one) - start for one in conversations) / len(conversations)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    return (
        f"{parameters / 1e6:.1f} M parameters; {len(conversations):,} conversations of {mean:.0f} tokens behind {start} that "
        f"all begin with; {trainer.done} steps are done"
    )


def prepared(folder: Folder, recipe: Recipe, data: Path, device: str, progress: Progress) -> tuple[Trainer, int]:
    """A trainer at step 0, and the number of ordinary tokens; tokenizer and encoded data are made where they are missing."""
    tokenizer = tokenizer_of(folder, recipe, data, progress)
    encoded = encoded_of(folder, recipe, data, tokenizer, progress)
    ordinary = tokenizer.ordinary_count
    configs = recipe.config(ordinary, long=False), recipe.config(ordinary, long=True)
    on_cpu = torch.device(device).type == "cpu"
    dtype = torch.bfloat16 if not on_cpu or torch.backends.mkldnn.is_available() else torch.float32
    return Trainer(recipe, *configs, encoded, device=device, dtype=dtype), ordinary


def keep_memory() -> None:
    """Asks glibc to keep what large tensors free: fresh pages for each of them would take a fifth of the time."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
            library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
