"""Which episodes are trained on in which step: decided by seed and number alone, so that a run can go on anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inference_backend.training.conversations import Encoded

MULTIPLE = 32
"""Of tokens that episodes are padded to: few shapes, each of which is compiled once."""
WINDOW = 32
"""Batches' worth of episodes that are sorted by length together: little padding, and still a random order."""


class Batches:
    """An endless sequence of lists of episode numbers; each epoch has every episode at most once, in an order of its own."""

    def __init__(self, lengths: Sequence[int], tokens: int, seed: int, often: NDArray[Any] | None = None) -> None:
        """Batches have at most `tokens` tokens, padding included, and at least one episode.

        `often` [episodes]: the share of epochs, 0 to 1, that have an episode, see `epoch_shares`. Without it: all.
        """
        self._lengths, self._tokens, self._seed = np.asarray(lengths), tokens, seed
        self._often = often
        self._begun: list[list[NDArray[Any]]] = []

    def __getitem__(self, number: int) -> NDArray[Any]:
        for epoch in range(1 << 30):
            if epoch == len(self._begun):
                self._begun.append(self._epoch(epoch))
            if number < len(self._begun[epoch]):
                return self._begun[epoch][number]
            number -= len(self._begun[epoch])
        raise AssertionError("not reached")

    def _epoch(self, epoch: int) -> list[NDArray[Any]]:
        rng = np.random.Generator(np.random.Philox(key=[self._seed, epoch]))
        order = rng.permutation(len(self._lengths))
        if self._often is not None:
            kept = rng.random(len(order)) < self._often[order]
            order = order[kept] if kept.any() else order
        window = max(WINDOW * self._tokens // max(int(self._lengths[order].mean()), 1), 1)
        batches: list[NDArray[Any]] = []
        for begin in range(0, len(order), window):
            part = order[begin : begin + window]
            part = part[np.argsort(-self._lengths[part], kind="stable")]
            while len(part):
                count = max(int(self._tokens // max(self._lengths[part[0]], 1)), 1)
                batches.append(part[:count])
                part = part[count:]
        return [batches[index] for index in rng.permutation(len(batches))]


def epoch_shares(
    lengths: Sequence[int], most: int = 0, right: NDArray[Any] | None = None, known: float = 1.0
) -> NDArray[Any] | None:
    """In what share of epochs each episode comes by; nothing where all are in every one.

    Over `most` tokens in so many that an episode counts for `most`, in the mean; 0: in all. `right` [episodes]: those that are
    done already come by the share `known` as often.
    """
    if not most and right is None:
        return None
    often = np.minimum(1.0, most / np.maximum(lengths, 1)) if most else np.ones(len(lengths))
    return often if right is None else often * np.where(right, known, 1.0)


@dataclass(frozen=True, slots=True)
class Batch:
    common: Tensor  # [P] int64
    episodes: Tensor  # [B, L] int64, padded behind
    counted: Tensor  # [B, L] float32: 1 for tokens, 0 for padding
    wanted: Tensor  # [M] int64: places in the flattened episodes whose next token is trained
    targets: Tensor  # [M] int64
    weights: Tensor  # [M] float32: what a place counts in the loss
    owners: Tensor  # [M] int64: the episode of each


def make_batch(conversations: Sequence[Encoded], start: int, device: torch.device, read: float = 0.0) -> Batch:
    """Conversations whose first `start` tokens are the same. The last token of an episode is only ever a target.

    Tokens that the model only reads are predicted as well where they count something, `read`.
    """
    common = conversations[0].tokens[:start].astype(np.int64)
    parts = [(one.tokens[start:], one.trained[start:]) for one in conversations]
    length = _rounded(max(len(tokens) for tokens, _ in parts) - 1)
    episodes, counted = np.zeros((len(parts), length), np.int64), np.zeros((len(parts), length), np.float32)
    wanted, targets, weights, owners = list[Any](), list[Any](), list[Any](), list[Any]()
    for row, (tokens, trained) in enumerate(parts):
        episodes[row, : len(tokens) - 1] = tokens[:-1]
        counted[row, : len(tokens) - 1] = 1
        counts = np.where(trained[1:], np.float32(1.0), np.float32(read))
        places = np.flatnonzero(counts)
        wanted.append(row * length + places)
        targets.append(tokens[1:][places])
        weights.append(counts[places])
        owners.append(np.full(len(places), row))

    def tensor(array: Any, dtype: torch.dtype = torch.int64) -> Tensor:
        return torch.as_tensor(array, dtype=dtype, device=device)

    return Batch(
        tensor(common), tensor(episodes), tensor(counted, torch.float32), tensor(np.concatenate(wanted)),
        tensor(np.concatenate(targets)), tensor(np.concatenate(weights), torch.float32), tensor(np.concatenate(owners)),
    )  # fmt: skip


def _rounded(count: int) -> int:
    return (count + MULTIPLE - 1) // MULTIPLE * MULTIPLE


def filled_up(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """`wanted`, `targets` and `weights`, with places of weight 0 up to a multiple of eight times `MULTIPLE`."""
    more = -len(batch.wanted) % (8 * MULTIPLE)
    wanted, targets, weights = (functional.pad(x, (0, more)) for x in (batch.wanted, batch.targets, batch.weights))
    return wanted, targets, weights
