"""Reinforcement learning by verifiable rewards, the numbers: reward, advantage, temperature, and whether it helped.

After Kimi K2, arXiv 2507.20534, section 3.2. What is minimised is in rl_objective.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens a task may take: `share` of what the expert wrote for it, and `spare` more.

    An episode that writes more is cut off there, and its reward is less by `penalty`.
    """

    share: float = 1.5
    spare: int = 24
    penalty: float = 0.5

    def tokens(self, expert: int) -> int:
        return int(expert * self.share) + self.spare

    def reward(self, *, solved: bool, over: bool) -> float:
        """1 for a task whose goal is reached, 0 for another; less the penalty where it went over its budget."""
        return float(solved) - self.penalty * over


def advantages(rewards: Sequence[float]) -> list[float]:
    """Of the episodes of one task: what each earned over the mean of all. Zeros where all earned the same."""
    mean = sum(rewards) / max(len(rewards), 1)
    return [reward - mean for reward in rewards]


def temperature(done: int, of: int, first: float, last: float) -> float:
    """From `first` (exploration) in a straight line to `last` (exploitation), which the last of `of` iterations has."""
    return first + (last - first) * min(done / max(of - 1, 1), 1.0)


def wilson(solved: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """The interval of 95 % of a share (E. B. Wilson, 1927); all of it where nothing was tried."""
    if not of:
        return 0.0, 1.0
    share, spread = solved / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * sqrt(share * (1 - share) / of + spread / (4 * of))
    return max(0.0, middle - half), min(1.0, middle + half)
