"""How a model answers conversations that it is not trained on in this moment: which of what it should write comes first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.training.batches import make_batch
from inference_backend.training.conversations import Encoded
from inference_backend.training.model import TrainableModel

EPISODES = 32
"""Of a batch, at most."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """On conversations that were never trained on."""

    loss: float
    tokens: float  # share of tokens that come first
    episodes: float  # share of episodes in which all do


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a batch of episodes, every word before a token being the right one."""

    loss: float  # the sum over tokens
    hits: Tensor  # [M] bool: tokens that come first
    right: Tensor  # [B] bool: episodes in which all do


@torch.no_grad()
def answers(model: TrainableModel, episodes: Sequence[Encoded], start: int, tokens: int) -> Iterator[Answered]:
    """Batch by batch, in their order, which should be by length. Their first `start` tokens are the same.

    `tokens`: those of a batch at most, padding included, where it has more than one episode.
    """
    at, device = 0, next(model.parameters()).device
    while at < len(episodes):
        longest = len(episodes[min(at + EPISODES, len(episodes)) - 1]) - start
        part = episodes[at : at + min(max(tokens // max(longest, 1), 1), EPISODES)]
        batch = make_batch(part, start, device)
        hidden = model.hidden(batch.common, batch.episodes)
        logits = model.logits(hidden.index_select(0, batch.wanted))
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = float(functional.cross_entropy(logits, batch.targets, reduction="sum"))
        hits = logits.argmax(-1) == batch.targets
        missed = torch.zeros(len(part), device=device).index_add_(0, batch.owners, (~hits).float())
        yield Answered(loss, hits, missed == 0)
        at += len(part)
