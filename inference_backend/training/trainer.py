"""The training loop: one step after the other, each decided by its number, until the end or until time is up."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inference_backend.config import ModelConfig
from inference_backend.errors import TrainingError
from inference_backend.training.answers import HeldOut, answers
from inference_backend.training.balance import evenness, sequence_loss, update_bias
from inference_backend.training.batches import Batch, Batches, epoch_shares, filled_up, make_batch
from inference_backend.training.conversations import Encoded
from inference_backend.training.cuts import Cuts
from inference_backend.training.group import ALONE, Group
from inference_backend.training.layers import Precision
from inference_backend.training.model import TrainableModel
from inference_backend.training.muonclip import MuonClip
from inference_backend.training.recipe import Recipe

PARTS = 2
"""Batches of a step, each of episodes of like length: one alone would be of a few families, and the next of others."""
MEASURE_EVERY = 10
"""Steps between measurements of the largest logits: in between, only those that could be over tau are looked at."""


@dataclass(frozen=True, slots=True)
class Data:
    """Conversations by kind, all of which begin with the same `start` tokens: `train`, `chains`, `long`, `held_out`."""

    kinds: Mapping[str, Sequence[Encoded]]
    start: int
    cuts: Cuts | None = None
    """Other ways to cut what is copied: others each time that a conversation is seen."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a step was like."""

    step: int
    loss: float
    rate: float
    tokens: int  # of the episodes, and those of the common beginning once
    seconds: float
    phase: str
    loads: tuple[float, ...]  # per layer of experts: load of the busiest over the mean
    logits: float | None  # the largest of attention, where it was measured


@dataclass(frozen=True, slots=True)
class _Seen:
    """What all processes saw together; gradients are in the parameters."""

    loss: Tensor
    loads: Tensor  # [layers of experts, E]
    tops: Tensor  # [layers, H]: the largest logits of attention


class Trainer:
    """`done` counts the steps behind it; `step()` makes the next one."""

    def __init__(
        self,
        recipe: Recipe,
        short: ModelConfig,
        long: ModelConfig,
        data: Data,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """`short` is the model until annealing, `long` from then on: the same sizes, with YaRN. Raises TrainingError."""
        if not data.kinds["train"]:
            raise TrainingError(
                "there is nothing to train on", "All conversations may be longer than the recipe's context."
            )
        self.recipe, self.schedule, self.data = recipe, recipe.schedule, data
        self.device, self._dtype, self._configs = torch.device(device), dtype, (short, long)
        self._wide = torch.promote_types(dtype, torch.float32)
        self.model = TrainableModel(short, seed=recipe.seed).to(self.device)
        self.optimiser = optimiser_of(self.model, recipe)
        self.done, self.group = 0, ALONE
        self._batches = {kind: self._batched(kind) for kind, conversations in data.kinds.items() if conversations}
        self._plan = _plan(recipe, self._batches.keys())

    def _batched(self, kind: str, right: NDArray[np.bool_] | None = None) -> Batches:
        lengths, recipe = [len(one) - self.data.start for one in self.data.kinds[kind]], self.recipe
        often = epoch_shares(lengths, recipe.most, right, recipe.known_share) if kind == "train" else None
        return Batches(lengths, recipe.batch // PARTS, recipe.seed, often)

    def know(self, right: NDArray[np.bool_]) -> None:
        """From now on, episodes that were done exactly right come by less often. `right`: one each of `train`."""
        self._batches["train"] = self._batched("train", right)

    def join(self, group: Group) -> None:
        """From now on each step is the group's, and this trainer does its part."""
        self.group, self.optimiser.spread = group, group.spread

    def step(self) -> Measured:
        """Raises TrainingError where the loss is no number any more."""
        began, number = time.perf_counter(), self.done
        self._prepare(number)
        parts, start = self.parts(number), self.start(number)
        measured = number % MEASURE_EVERY == 0
        seen = self._learn(parts, start, above=0.0 if measured else self.recipe.tau)
        if not bool(seen.loss.isfinite()):
            raise TrainingError(f"the loss of step {number} is not finite", "Lower the learning rate, or tau.")
        rate = self.schedule.rate(number)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)
        self.optimiser.step(attention_max_logits={f"layers.{n}": top for n, top in enumerate(seen.tops)})
        self.optimiser.zero_grad()
        for moe, load in zip(self.model.moe(), seen.loads, strict=True):
            update_bias(moe.gate.e_score_correction_bias, load, self.recipe.balance_speed)
        self.done += 1
        return Measured(
            number, float(seen.loss), rate, sum(len(one) - start - 1 for part in parts for one in part) + start,
            time.perf_counter() - began, self.schedule.phase(number), tuple(evenness(load) for load in seen.loads),
            float(seen.tops.max()) if measured else None,
        )  # fmt: skip

    def _learn(self, parts: Sequence[Sequence[Encoded]], start: int, above: float) -> "_Seen":
        """Forward and backward: this process's share of the episodes, then the sums over all processes."""
        config, layers = self.model.config, list(self.model.moe())
        loss = torch.zeros((), device=self.device)
        loads = torch.zeros(len(layers), config.n_routed_experts, device=self.device)
        tops = torch.zeros(config.num_hidden_layers, config.num_attention_heads, device=self.device)
        every = [one for part in parts for one in part]
        count = sum(int(one.trained[start + 1 :].sum()) for one in every)
        first = self.group.rank == 0  # whose load of the common beginning counts
        for own in self.group.shares(parts):
            batch = make_batch(own, start, self.device, self._read())
            hidden = self.model.hidden(batch.common, batch.episodes, above=above)
            wanted, targets, weights = filled_up(batch)
            logits = self.model.logits(hidden.index_select(0, wanted))
            each = functional.cross_entropy(logits.to(self._wide), targets, reduction="none")
            loss = loss + each.detach()[weights == 1.0].sum() / count
            balance = self.recipe.sequence_alpha * len(own) / len(every)
            ((each @ weights.to(self._wide)) / count + balance * self._sequence_loss(batch)).backward()
            loads = loads + self._loads(batch, once=first)
            tops = torch.maximum(tops, torch.stack([a.top for a in self.model.attention() if a.top is not None]))
            first = False
        params = [p for p in self.model.parameters() if p.requires_grad]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        *grads, loss, loads = self.group.add([*grads, loss.to(grads[0].dtype), loads.to(grads[0].dtype)])
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad
        return _Seen(loss, loads, self.group.largest(tops))

    def run(self, until: Callable[[Measured], bool]) -> None:
        """Steps until `until` says so, or the schedule ends."""
        while self.done < self.schedule.steps and not until(self.step()):
            pass

    def parts(self, number: int) -> list[list[Encoded]]:
        """The episodes of a step, in parts of like length, the longest first in each."""
        kind, index = self._plan[number]
        longest = self.recipe.longest if kind == "long" else self.recipe.context
        rng, parts = Random(f"{self.recipe.seed} {number}"), list[list[Encoded]]()
        for place in range(PARTS * index, PARTS * (index + 1)):
            chosen = [self.data.kinds[kind][i] for i in self._batches[kind][place]]
            if self.data.cuts and (self.recipe.cut or self.recipe.renamed or self.recipe.blurred):
                chosen = sorted((self._varied(one, longest, rng) for one in chosen), key=len, reverse=True)
            parts.append(self._begun(chosen, self.start(number)))
        return parts

    def _varied(self, one: Encoded, longest: int, rng: Random) -> Encoded:
        """In other words, and cut in another way, each as often as the recipe says."""
        assert self.data.cuts
        if self.recipe.blurred and rng.random() < self.recipe.blurred:
            one = self.data.cuts.blur(one, self.data.start, rng)
        if rng.random() < self.recipe.renamed:
            one = self.data.cuts.rename(one, self.data.start, rng)
        if rng.random() < self.recipe.cut:
            one = self.data.cuts.vary(one, self.data.start, self.recipe.cut, rng, longest)
        return one

    def start(self, number: int) -> int:
        """How many tokens of the common beginning stand in a step: all, or none in the first part of the run."""
        return self.data.start if number >= self.recipe.bare * self.recipe.steps else 0

    def _read(self) -> float:
        """What a token that is only read counts in the step that is made."""
        return self.recipe.read if self.done < self.recipe.read_until * self.recipe.steps else 0.0

    def _begun(self, conversations: list[Encoded], start: int) -> list[Encoded]:
        """Conversations with `start` tokens of the common beginning, all or none."""
        left_out = self.data.start - start
        return [Encoded(one.tokens[left_out:], one.trained[left_out:]) for one in conversations]

    def _prepare(self, step: int) -> None:
        """Precision and context of a step."""
        self.model.precision = Precision(self._dtype, step >= self.schedule.quantise_from)
        wanted = self._configs[step >= self.schedule.anneal_from]
        if self.model.config is not wanted:
            self.model.use(wanted)

    def _sequence_loss(self, batch: Batch) -> Tensor:
        total = torch.zeros((), device=self.device)
        count, start = len(batch.episodes), len(batch.common)
        layers = list(self.model.moe())
        for moe in layers:
            assert moe.chosen is not None
            experts, scores = (part[start:].unflatten(0, (count, -1)) for part in moe.chosen)
            chosen = torch.zeros_like(scores).scatter_(-1, experts, 1.0)
            total = total + sequence_loss(scores, chosen, batch.counted)
        return total / max(len(layers), 1)

    def _loads(self, batch: Batch, *, once: bool) -> Tensor:
        """How many tokens each layer sent to each expert; padding has no say, and the beginning only where it is to count."""
        beginning = torch.full((len(batch.common),), float(once), device=self.device)
        counted = torch.cat([beginning, batch.counted.flatten()]).bool()
        loads = []
        for moe in self.model.moe():
            assert moe.chosen is not None
            loads.append(torch.bincount(moe.chosen[0][counted].flatten(), minlength=self.model.config.n_routed_experts))
            moe.chosen = None
        return torch.stack(loads).float() if loads else torch.zeros(0, 0, device=self.device)

    def held_out(self, most: int = 128, *, stored: bool | None = None) -> HeldOut:
        """On the first `most` held-out episodes, as the model is now and as it is trained now: with or without the beginning.

        `stored`: as the checkpoint will hold it.
        """
        step = max(self.done - 1, 0)
        self._prepare(step)
        start = self.start(step)
        if stored is not None:
            self.model.precision = Precision(self._dtype, stored)
        every = self._begun(sorted(self.data.kinds["held_out"][:most], key=len), start)
        sums = torch.zeros(4, dtype=torch.float64)  # loss, tokens that come first, tokens, episodes in which all do
        for found in answers(self.model, self.group.own(every), start, 2 * self.recipe.batch):
            sums += torch.tensor(
                [found.loss, found.hits.sum(), len(found.hits), found.right.sum()], dtype=torch.float64
            )
        (sums,) = self.group.add([sums])
        loss, right, tokens, solved = sums.tolist()
        return HeldOut(loss / max(tokens, 1), right / max(tokens, 1), solved / max(len(every), 1))

    def exactly_right(self, begin: int, end: int) -> NDArray[np.bool_]:
        """Which of the episodes `begin` to `end` of `train` what will be stored writes as they stand, behind the right words."""
        self.model.use(self._configs[-1])
        self.model.precision = Precision(self._dtype, stored=True)
        every = self.data.kinds["train"][begin:end]
        own = self.group.own(sorted(range(len(every)), key=lambda n: len(every[n])))
        flags, at = torch.zeros(len(every)), 0
        for found in answers(self.model, [every[n] for n in own], self.data.start, 2 * self.recipe.batch):
            flags[list(own[at : at + len(found.right)])] = found.right.float().cpu()
            at += len(found.right)
        (flags,) = self.group.add([flags])
        return flags.numpy() > 0


def optimiser_of(model: TrainableModel, recipe: Recipe) -> MuonClip:
    """Muon for the matrices, AdamW for embedding, output head and norms; QK-Clip on every layer."""
    rest = {id(p) for name, p in model.named_parameters() if p.ndim < 2 or "embed_tokens" in name or "lm_head" in name}
    groups = [
        {"params": [p for p in model.parameters() if id(p) not in rest], "use_muon": recipe.muon},
        {"params": [p for p in model.parameters() if id(p) in rest], "use_muon": False, "lr_factor": recipe.adamw},
    ]
    optimiser = MuonClip(groups, recipe.lr, weight_decay=recipe.weight_decay, qk_clip_threshold=recipe.tau)
    for number, layer in enumerate(model.attention()):
        optimiser.register_attention_params({f"layers.{number}.{part}": w for part, w in layer.clipped().items()})
    return optimiser


def _plan(recipe: Recipe, kinds: Sequence[str] | object) -> list[tuple[str, int]]:
    """The kind of each step, and its number among the steps of that kind."""
    draws = np.random.Generator(np.random.Philox(key=[recipe.seed, 1 << 32])).random(recipe.steps)
    used: dict[str, int] = {}
    plan = []
    for step, draw in enumerate(draws):
        long = recipe.long if recipe.schedule.phase(step) == "annealing" else recipe.far
        kind = "long" if draw > 1 - long else "chains" if draw < recipe.chains else "train"
        kind = kind if kind in kinds else "train"  # type: ignore[operator]
        plan.append((kind, used.get(kind, 0)))
        used[kind] = used.get(kind, 0) + 1
    return plan
