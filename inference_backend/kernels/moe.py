"""The routed experts of one layer: every token through its K experts, weighted and summed.

`w13` stacks gate over up, [E, 2 I, D]; `w2` is down, [E, D, I]; each a float tensor or INT4. With `experts` [T, K] and
`weights` [T, K] of the router (int64 and float32), y[t] = sum over k of weights[t, k] * down(silu(gate x[t]) * up x[t]).
"""

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.kernels.cpu.tiles import Tiles, built
from inference_backend.kernels.dispatch import backend
from inference_backend.kernels.int4 import Int4, Int4Weights, int4_matmul

Matrices: TypeAlias = Tensor | Int4Weights


def moe(x: Tensor, experts: Tensor, weights: Tensor, w13: Matrices, w2: Matrices, *, first: int = 0) -> Tensor:
    """`x` [T, D] to float32 [T, D].

    `first` is the number of the first expert held here: where experts are spread over several ranks, those of others add nothing,
    and the results of all ranks are summed by the caller.
    """
    if isinstance(w13, Tiles) and isinstance(w2, Tiles):
        return built().moe(x, experts, weights, w13.data, w2.data, first)
    if backend(x.device) == "triton" and isinstance(w13, Int4 | Tensor) and isinstance(w2, Int4 | Tensor):
        from inference_backend.kernels.gpu.moe import moe_triton

        return moe_triton(x, experts, weights, _parts(w13), _parts(w2), first)
    if backend(x.device) == "cpu" and isinstance(w13, Tensor) and isinstance(w2, Tensor):
        from inference_backend.kernels.cpu.grouped import grouped_takes, moe_grouped, moe_sorted

        run = moe_grouped if grouped_takes(x, w13, w2) else moe_sorted
        return run(x, experts, weights, w13, w2, first)
    return moe_plain(x, experts, weights, w13, w2, first=first)


def moe_plain(x: Tensor, experts: Tensor, weights: Tensor, w13: Matrices, w2: Matrices, *, first: int = 0) -> Tensor:
    """One expert after the other, in ascending order."""
    held = _parts(w13)[0].shape[0]
    out = torch.zeros(x.shape, dtype=torch.float32, device=x.device)
    for expert in torch.unique(experts).tolist():
        if not first <= expert < first + held:
            continue
        token, slot = torch.nonzero(experts == expert, as_tuple=True)
        y = swiglu(_product(x[token], w13[expert - first]))
        out.index_add_(0, token, _product(y, w2[expert - first]).float() * weights[token, slot, None])
    return out


def swiglu(gate_up: Tensor) -> Tensor:
    """[T, 2 I] to [T, I]: silu(gate) * up."""
    gate, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gate) * up


def _product(x: Tensor, w: Matrices) -> Tensor:
    return x @ w.T if isinstance(w, Tensor) else int4_matmul(x, w)


def _parts(w: Matrices) -> tuple[Tensor, Tensor | None]:
    """What holds the codes or values, and the scales."""
    if isinstance(w, Tensor):
        return w, None
    if isinstance(w, Int4):
        return w.packed, w.scale
    return w.data, None if isinstance(w, Tiles) else w.scale
