"""Updates by what a policy earned: the objective of rl.py over whole episodes, and SFT's own loss beside it (PTX)."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.config import ModelConfig
from inference_backend.errors import TrainingError
from inference_backend.training.batches import Batch, Batches, make_batch
from inference_backend.training.conversations import Encoded, common_start
from inference_backend.training.layers import Precision
from inference_backend.training.model import TrainableModel
from inference_backend.training.recipe import Recipe
from inference_backend.training.rl import Budget
from inference_backend.training.rl_objective import log_probs, objective
from inference_backend.training.rl_policy import Piece
from inference_backend.training.trainer import Data, optimiser_of


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what comes out of reinforcement, but for the model that it begins with."""

    seed: int = 1009
    """Not the data's: tasks are drawn that SFT has not seen."""
    iterations: int = 24
    tasks: int = 24
    """Of one iteration, `samples` episodes each."""
    samples: int = 8
    updates: int = 2
    """Steps of the optimiser in an iteration, each on a part of its episodes."""
    lr: float = 2e-4
    tau: float = 0.1
    """How hard a policy is held to the one that played."""
    ptx: float = 10.0
    """Weight of SFT's loss, which is a token's, against the objective, which is a whole episode's."""
    heat_first: float = 1.0
    heat_last: float = 0.6
    budget: Budget = field(default_factory=Budget)
    held_out: int = 200
    """Held-out tasks that are played before and after."""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sample:
    """An episode to learn from."""

    pieces: Sequence[Piece]
    advantage: float


@dataclass(frozen=True, slots=True)
class Updated:
    """What an iteration's updates were like."""

    samples: int  # episodes that were better or worse than others of their task
    drift: float  # mean square of their log ratios at the last update: how far the policy has gone from the one that played
    ptx: float  # loss per token on SFT's data
    seconds: float


@dataclass(frozen=True, slots=True)
class _Packed:
    """Episodes that go through the model together."""

    batch: Batch
    allowed: Tensor  # bool [M, W]
    owners: Tensor  # [M]: the episode of each chosen token
    advantage: Tensor  # [N]


class Reinforcer:
    """The model with an optimiser of its own, in the precision and context that the checkpoint serves."""

    def __init__(
        self,
        recipe: Recipe,
        config: ModelConfig,
        settings: Settings,
        data: Data,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        self.recipe, self.settings, self.data, self.device = recipe, settings, data, torch.device(device)
        self.model = TrainableModel(config, seed=recipe.seed).to(self.device)
        self.model.precision = Precision(dtype, stored=True)
        self.optimiser = optimiser_of(self.model, replace(recipe, lr=settings.lr))
        self._ptx = Batches([len(one) - data.start for one in data.kinds["train"]], recipe.batch, settings.seed)
        self._tops: dict[str, Tensor] = {}

    def update(self, number: int, samples: Sequence[Sample], heat: float) -> Updated:
        """The updates of iteration `number`. Samples without advantage have nothing to say and are left out; where none is left,
        the model stays as it is. Raises TrainingError where the loss is no number any more."""
        began = time.perf_counter()
        kept = [sample for sample in samples if sample.advantage and sample.pieces]
        order = np.random.Generator(np.random.Philox(key=[self.settings.seed, number])).permutation(len(kept))
        parts = [part for part in np.array_split(order, self.settings.updates) if len(part)]
        packed = [self._pack([kept[i] for i in part]) for part in parts]
        with torch.no_grad():  # of the policy that played, before anything changes
            old = [[self._log_probs(one, heat) for one in group] for group in packed]
        drift, ptx = 0.0, 0.0
        for place, (group, before) in enumerate(zip(packed, old, strict=True)):
            drift = self._accumulate(group, before, heat)
            if self.settings.ptx:
                loss = self.ptx_loss(number * self.settings.updates + place)
                (self.settings.ptx * loss).backward()
                self._see_tops()
                ptx = float(loss.detach())
            self.optimiser.step(attention_max_logits=self._tops)
            self.optimiser.zero_grad()
        return Updated(len(kept), drift, ptx, time.perf_counter() - began)

    def _accumulate(self, group: Sequence[_Packed], before: Sequence[Tensor], heat: float) -> float:
        """Gradients of one update's episodes; the mean square of their log ratios."""
        count, square = sum(len(one.advantage) for one in group), 0.0
        self._tops = {}
        for one, old in zip(group, before, strict=True):
            change = self._log_probs(one, heat) - old
            ratios = torch.zeros_like(one.advantage).index_add(0, one.owners, change)
            loss = objective(ratios, one.advantage, self.settings.tau) / count
            if not bool(loss.isfinite()):
                raise TrainingError("the loss is not finite", "Lower the learning rate.")
            loss.backward()
            self._see_tops()
            square += float(ratios.detach().square().sum())
        return square / count

    def ptx_loss(self, number: int) -> Tensor:
        """SFT's loss, per token, on one batch of its data."""
        numbers = self._ptx[number]
        batch = make_batch([self.data.kinds["train"][i] for i in numbers], self.data.start, self.device)
        return functional.cross_entropy(self._logits(batch).float(), batch.targets)

    def _pack(self, samples: Sequence[Sample]) -> list[_Packed]:
        """As many episodes together as fit into a batch of the recipe."""
        made: list[_Packed] = []
        group: list[Sample] = []
        longest = rows = 0
        for sample in sorted(samples, key=lambda one: max(len(piece.tokens) for piece in one.pieces)):
            longest = max(longest, *(len(piece.tokens) - self.data.start for piece in sample.pieces))
            if group and (rows + len(sample.pieces)) * longest > self.recipe.batch:
                made.append(self._packed(group))
                group, rows = [], 0
            group.append(sample)
            rows += len(sample.pieces)
        return [*made, *([self._packed(group)] if group else [])]

    def _packed(self, samples: Sequence[Sample]) -> _Packed:
        pieces = [(owner, piece) for owner, sample in enumerate(samples) for piece in sample.pieces]
        rows = [Encoded(piece.tokens, piece.chosen) for _, piece in pieces]
        batch = make_batch(rows, max(common_start(rows) - 1, 0), self.device)  # the first chosen token is a target, too
        bits = np.concatenate([piece.allowed for _, piece in pieces])
        allowed = np.unpackbits(bits, axis=1, count=self.model.config.vocab_size).astype(bool)
        owner_of = torch.tensor([owner for owner, _ in pieces], device=self.device)
        advantage = torch.tensor([sample.advantage for sample in samples], device=self.device)
        return _Packed(batch, torch.from_numpy(allowed).to(self.device), owner_of[batch.owners], advantage)

    def _log_probs(self, one: _Packed, heat: float) -> Tensor:
        return log_probs(self._logits(one.batch), one.batch.targets, one.allowed, heat)

    def _logits(self, batch: Batch) -> Tensor:
        hidden = self.model.hidden(batch.common, batch.episodes, above=self.recipe.tau)
        return self.model.logits(hidden.index_select(0, batch.wanted))

    def _see_tops(self) -> None:
        """Largest logits of attention over all that went through the model for this update: for QK-Clip."""
        for number, layer in enumerate(self.model.attention()):
            name, top = f"layers.{number}", layer.top
            assert top is not None
            self._tops[name] = torch.maximum(self._tops[name], top) if name in self._tops else top
