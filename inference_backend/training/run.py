"""A whole run: data set to checkpoint, in as many pieces as needed."""

import ctypes
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from inference_backend.checkpoint.folder import Progress, quiet
from inference_backend.errors import TrainingError
from inference_backend.training import known, state
from inference_backend.training.answers import HeldOut
from inference_backend.training.export import export, fill
from inference_backend.training.journal import Journal
from inference_backend.training.prepare import Folder, claim, encoded_of, tokenizer_of
from inference_backend.training.recipe import Recipe
from inference_backend.training.team import Team
from inference_backend.training.trainer import Measured, Trainer

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
    processes: int = 1,
    begin: Path | None = None,
    save_seconds: float = SAVE_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Goes on with the run in `out`, or begins it, until the recipe's steps are done or `seconds` are over.

    The checkpoint is written at the end of every piece, so that an unfinished model can be tried. Each of `processes` does
    its part of every step; the first alone writes files and tells. A new run has the weights and the tokenizer of the
    checkpoint `begin`, where it is given. Raises EngineError.
    """
    if processes > 1 and torch.device(device).type != "cpu":
        raise TrainingError("several processes train on the CPU alone", "Leave --processes out.")
    began, folder = clock(), Folder(out)
    claim(folder, recipe, data, begin)
    trainer = loaded(folder, recipe, data, device, screen.stage)
    screen.note(_described(trainer))
    team = Team(partial(loaded, folder, recipe, data, device), processes, trainer)
    try:
        return _go_on(team, folder, recipe, screen, began + seconds, save_seconds, clock)
    finally:
        team.close()


def _go_on(
    team: Team,
    folder: Folder,
    recipe: Recipe,
    screen: Screen,
    end: float,
    save_seconds: float,
    clock: Callable[[], float],
) -> Outcome:
    """Steps until the clock says `end`, or the recipe's are done; then the checkpoint."""
    trainer = team.trainer
    journal, saved, every = Journal(folder.log, trainer.done), clock(), max(recipe.steps // EVALUATIONS, 10)

    def after(measured: Measured) -> bool:
        nonlocal saved
        journal.step(measured)
        screen.step(measured, recipe.steps)
        if trainer.done % every == 0 and trainer.done < recipe.steps:
            found = team.held_out()
            journal.held_out(measured.step, found)
            screen.held_out(measured.step, found)
            journal.draw(folder.curves)
        if clock() - saved > save_seconds:
            state.save(folder.state, trainer.model, trainer.optimiser, trainer.done)
            saved = clock()
        return clock() > end

    if _is_ready(team, folder, recipe, screen, lambda: clock() > end):
        while trainer.done < recipe.steps and not after(team.step()):
            pass
    if trainer.done:
        state.save(folder.state, trainer.model, trainer.optimiser, trainer.done)
    exact, found = (team.held_out(512, stored=stored) for stored in (False, True))
    screen.held_out(trainer.done, found)
    if trainer.done == recipe.steps:
        journal.held_out(recipe.steps - 1, found)
    journal.draw(folder.curves)
    journal.close()
    size = export(
        folder.checkpoint,
        trainer.model,
        recipe.raw_config(trainer.model.config.vocab_size - 256, long=True),
        folder.tokenizer,
    )
    return Outcome(trainer.done, recipe.steps, found, exact, folder.checkpoint, size)


def _is_ready(team: Team, folder: Folder, recipe: Recipe, screen: Screen, until: Callable[[], bool]) -> bool:
    """Looks for what is known already, where the recipe wants that; whether steps can be made."""
    if not recipe.goes_on or team.trainer.done == recipe.steps:
        return True
    right = known.find(team, folder, until, screen.stage)
    if right is None:
        return False
    screen.note(f"{right.mean():.1%} of the conversations are done exactly right already: they come by less often")
    team.know(right)
    return True


def _described(trainer: Trainer) -> str:
    conversations, start = trainer.data.kinds["train"], trainer.data.start
    mean = sum(len(one) - start for one in conversations) / len(conversations)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    return (
        f"{parameters / 1e6:.1f} M parameters; {len(conversations):,} conversations of {mean:.0f} tokens behind {start} that "
        f"all begin with; {trainer.done} steps are done"
    )


def loaded(folder: Folder, recipe: Recipe, data: Path, device: str, progress: Progress = quiet) -> Trainer:
    """A trainer that is as far as the run; tokenizer and encoded data are made where they are missing."""
    keep_memory()
    tokenizer = tokenizer_of(folder, recipe, data, progress)
    encoded = encoded_of(folder, recipe, data, tokenizer, progress)
    begun = folder.begun.exists()  # with weights that YaRN has turned already
    short, long = (recipe.config(tokenizer.ordinary_count, long=long or begun) for long in (False, True))
    on_cpu = torch.device(device).type == "cpu"
    dtype = torch.bfloat16 if not on_cpu or torch.backends.mkldnn.is_available() else torch.float32
    trainer = Trainer(recipe, short, long, encoded, device=device, dtype=dtype)
    trainer.done = state.load(folder.state, trainer.model, trainer.optimiser)
    if begun and not trainer.done:
        fill(trainer.model, folder.begun)
    return trainer


def keep_memory() -> None:
    """Asks glibc to keep what large tensors free: fresh pages for each of them would take a fifth of the time."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(M_MMAP_THRESHOLD, 1 << 30)
            library.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
