"""The router of a layer of experts: sigmoid scores, a bias for the choice alone, the best K, their weights."""

import torch
from torch import Tensor

from inference_backend.kernels.dispatch import backend


def route(
    logits: Tensor,
    bias: Tensor,
    top: int,
    *,
    groups: int = 1,
    kept_groups: int = 1,
    normalise: bool = True,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """`logits` [T, E] and `bias` [E], float32, to experts [T, top] int64 and weights [T, top] float32.

    The experts are those of the highest score + bias, best first, equal ones by lower number, out of the `kept_groups` groups
    whose two best are best together. Their weights are the scores without bias, summing to `scale` if `normalise`.
    """
    if groups == 1 and backend(logits.device) == "triton":
        from inference_backend.kernels.gpu.router import route_triton

        return route_triton(logits, bias, top, normalise, scale)
    return route_plain(logits, bias, top, groups=groups, kept_groups=kept_groups, normalise=normalise, scale=scale)


def route_plain(
    logits: Tensor,
    bias: Tensor,
    top: int,
    *,
    groups: int = 1,
    kept_groups: int = 1,
    normalise: bool = True,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    score = logits.sigmoid()
    choice = score + bias
    if groups > 1:
        grouped = choice.unflatten(-1, (groups, -1))
        best_two = grouped.topk(2, dim=-1).values.sum(-1)
        kept = best_two.argsort(dim=-1, descending=True, stable=True)[:, :kept_groups]
        mask = torch.zeros_like(best_two, dtype=torch.bool).scatter_(-1, kept, True)
        choice = grouped.masked_fill(~mask[..., None], float("-inf")).flatten(-2)
    experts = choice.argsort(dim=-1, descending=True, stable=True)[:, :top]
    weights = score.gather(-1, experts)
    if normalise:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    return experts, weights * scale
