"""Routed experts of plain weights on the CPU: tokens sorted by expert, for few of them one grouped product in place of one each.

For many tokens the products per expert are large, and one expert after the other keeps its weights in the processor's cache.
"""

import torch
from torch import Tensor
from torch.nn import functional

FEW = 64
"""Tokens up to which grouping is quicker; measured with 32 experts of which each token takes 8."""
ALIGNED = 16
"""Bytes that every row must be a multiple of, or torch refuses."""


def grouped_takes(x: Tensor, w13: Tensor, w2: Tensor) -> bool:
    width = x.element_size()
    return len(x) <= FEW and not any(w.shape[-1] * width % ALIGNED for w in (w13, w2))


def moe_sorted(x: Tensor, experts: Tensor, weights: Tensor, w13: Tensor, w2: Tensor, first: int) -> Tensor:
    """As `moe_grouped`, for any number of tokens and any width."""
    flat = experts.flatten()
    order = flat.argsort(stable=True)
    ends = torch.bincount(flat, minlength=first + len(w13)).cumsum(0).tolist()
    scale, token = weights.flatten()[order][:, None], order // experts.shape[1]
    out = torch.zeros(x.shape, dtype=torch.float32)
    for number in range(len(w13)):
        begin, end = ends[first + number - 1] if first + number else 0, ends[first + number]
        if begin == end:
            continue
        gate, up = (x[token[begin:end]] @ w13[number].T).chunk(2, dim=-1)
        y = (functional.silu(gate).mul_(up) @ w2[number].T).float()
        out.index_add_(0, token[begin:end], y.mul_(scale[begin:end]))
    return out


def moe_grouped(x: Tensor, experts: Tensor, weights: Tensor, w13: Tensor, w2: Tensor, first: int) -> Tensor:
    """`x` [T, D] to float32 [T, D]; see `kernels.moe`. Experts that are not held here add nothing."""
    held = len(w13)
    local = experts.flatten() - first
    local = torch.where((local < 0) | (local >= held), held, local)  # those of other ranks come last, in no group
    order = local.argsort(stable=True)
    ends = torch.bincount(local, minlength=held + 1).cumsum(0)[:held].int()
    count = int(ends[-1])
    own = order[:count]
    gate, up = functional.grouped_mm(x[own // experts.shape[1]], w13.transpose(1, 2), offs=ends).chunk(2, dim=-1)
    y = x.new_zeros(len(order), x.shape[1])
    y[own] = functional.grouped_mm(functional.silu(gate) * up, w2.transpose(1, 2), offs=ends)
    return torch.bmm(weights[:, None], y.view(*experts.shape, -1).float()).squeeze(1)
