"""The schedule of the report: warm-up, a long constant rate, cosine decay, then annealing on long contexts under YaRN."""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["constant", "cosine", "annealing"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps from 0; the constant phase ends at `cosine_from`, annealing begins at `anneal_from` and ends at `steps`.

    From `quantise_from` on the forward pass sees weights as they will be stored.
    """

    steps: int
    warmup: int
    cosine_from: int
    anneal_from: int
    quantise_from: int
    lr: float
    lr_end: float  # where the cosine ends
    lr_final: float  # where annealing ends

    def phase(self, step: int) -> Phase:
        return "constant" if step < self.cosine_from else "cosine" if step < self.anneal_from else "annealing"

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if step < self.cosine_from:
            return self.lr
        if step < self.anneal_from:
            done = (step - self.cosine_from) / (self.anneal_from - self.cosine_from)
            return self.lr_end + (self.lr - self.lr_end) * (1 + math.cos(math.pi * done)) / 2
        done = (step - self.anneal_from) / max(self.steps - self.anneal_from, 1)
        return self.lr_end + (self.lr_final - self.lr_end) * done


def schedule(steps: int, lr: float) -> Schedule:
    """The phases of the report; less constant and more cosine than there, as a high rate is noise to so small a batch."""
    return Schedule(
        steps=steps,
        warmup=max(min(100, steps // 20), 1),
        cosine_from=steps * 3 // 10,
        anneal_from=steps * 95 // 100,
        quantise_from=steps * 7 // 10,
        lr=lr,
        lr_end=lr * 0.1,
        lr_final=lr * 0.035,
    )
