"""Tasks played by a checkpoint in the expert's place: several times each, in several processes, the same whenever asked."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np

from inference_backend.training.rl import Budget
from inference_backend.training.rl_policy import Piece, Policy, pieces
from inference_backend.training.synthesis.draw import NotDrawn
from inference_backend.training.synthesis.plan import TRIES, Slot, draw_task
from inference_backend.training.synthesis.player import Player
from inference_backend.training.synthesis.rooms import Episode, Room
from inference_backend.training.synthesis.task import Task

CHUNK = 4
"""Tasks that a process plays at a time. As a policy begins anew with each chunk, rollouts are the same however many processes
there are: what a model computed before changes the last bits of what it computes next."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One episode of the policy."""

    solved: bool
    over: bool  # it went over its budget, and was cut off
    reward: float
    tokens: int  # written
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """A task, and how the policy did."""

    task: str
    family: str
    language: str
    budget: int
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True)
class Game:
    """How to play: each task `samples` times at the temperature `heat` (0: greedy); `seed` draws tasks and tokens."""

    seed: int
    samples: int
    heat: float
    budget: Budget


class Players:
    """Processes that play. Use it as `with`."""

    def __init__(self, jobs: int) -> None:
        self._pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) if jobs > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def play(
        self, checkpoint: Path, slots: Sequence[Slot], game: Game, progress: Callable[[int], None] = lambda done: None
    ) -> list[Played]:
        """The tasks of `slots`, in their order; without those that even the expert does not solve here. Raises EngineError."""
        chunks = [slots[at : at + CHUNK] for at in range(0, len(slots), CHUNK)]
        work = partial(play, checkpoint, game)
        made: list[list[Played]] = []
        results: Iterator[list[Played]] = self._pool.map(work, chunks) if self._pool else map(work, chunks)
        for chunk, played in zip(chunks, results, strict=True):
            made.append(played)
            progress(len(chunk))
        return list(chain.from_iterable(made))


def play(checkpoint: Path, game: Game, slots: Sequence[Slot]) -> list[Played]:
    """The same in this process."""
    return asyncio.run(_play(Policy(checkpoint), game, slots))


async def _play(policy: Policy, game: Game, slots: Sequence[Slot]) -> list[Played]:
    made = []
    async with Room(accepts_no_box=False) as room:
        for slot in slots:
            if (found := await _task(room, slot, game.seed)) is None:
                continue
            task, shown = found
            budget = game.budget.tokens(written(policy, shown))
            rollouts = [await _rollout(room, policy, game, task, budget, number) for number in range(game.samples)]
            made.append(Played(task.id, task.family, task.language, budget, tuple(rollouts)))
    return made


async def _task(room: Room, slot: Slot, seed: int) -> tuple[Task, Episode] | None:
    """The task of a slot, and how the expert did it."""
    for attempt in range(TRIES):
        try:
            task = draw_task(slot, seed, attempt)
        except NotDrawn:
            continue
        shown = await room.perform(task)
        if not shown.wrong:
            return task, shown
    return None


def written(policy: Policy, episode: Episode) -> int:
    """Tokens that an expert wrote, or a model would have to write to do the same."""
    from inference_backend.training.conversations import encode

    return int(encode(episode.messages, episode.tools, policy.tokenizer).trained.sum())


async def _rollout(room: Room, policy: Policy, game: Game, task: Task, budget: int, number: int) -> Rollout:
    rng = np.random.Generator(np.random.Philox(key=[game.seed, task.seed + number]))
    player: Player | None = None

    def actor(model: object, masks: object) -> Player:
        nonlocal player
        player = Player(policy, model, masks, budget, game.heat, rng)  # type: ignore[arg-type]
        return player

    episode = await room.perform(task, actor)
    assert player is not None
    solved, tokens = not episode.wrong, sum(len(reply.tokens) for reply in player.replies)
    reward = game.budget.reward(solved=solved, over=player.over)
    return Rollout(solved, player.over, reward, tokens, tuple(pieces(player.replies)))
