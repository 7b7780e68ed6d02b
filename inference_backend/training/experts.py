"""The routed experts of a layer, forward and backward: tokens sorted by expert, one product per expert, no loop over tokens.

The rows of an expert are filled up to a multiple of `ROWS` with some token of weight 0, which adds nothing to any sum: oneDNN
compiles each product of a new shape, which takes longer than the product.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

ROWS = 64


def routed(x: Tensor, experts: Tensor, weights: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """x [T, D], experts [T, K] and their weights [T, K], gate_up [E, 2 I, D], down [E, D, I] to [T, D], all in the type of x."""
    count, top = experts.shape
    by_expert = experts.flatten().argsort(stable=True)  # pairs (token, slot), expert by expert
    counts = torch.bincount(experts.flatten(), minlength=len(gate_up))
    filled = (counts + ROWS - 1).div(ROWS, rounding_mode="floor") * ROWS
    moved = (filled.cumsum(0) - filled) - (counts.cumsum(0) - counts)  # by how many rows, for the fillings before
    rows = torch.arange(len(by_expert), device=x.device) + moved.repeat_interleave(counts)
    sizes = filled.tolist()
    order = by_expert.new_zeros(sum(sizes)).index_copy(0, rows, by_expert)  # the pair of each row
    place = torch.empty_like(by_expert).index_copy(0, by_expert, rows)  # the row of each pair
    real = x.new_zeros(len(order)).index_fill(0, rows, 1.0)
    x_sorted = _Spread.apply(x, order, place, top)
    weights_sorted = weights.flatten().index_select(0, order).to(x.dtype) * real
    y = _Experts.apply(x_sorted, weights_sorted, gate_up, down, sizes)
    return _Gather.apply(y, order, place, top).view(count, -1)


class _Spread(torch.autograd.Function):
    """[T, D] to [T K, D], each token once per expert of its own. The gradient is a gather and a sum, never a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, place: Tensor, top: int) -> Tensor:
        ctx.save_for_backward(place)
        ctx.top = top
        return x.index_select(0, order // top)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (place,) = ctx.saved_tensors
        return _summed(grads[0], place, ctx.top), None, None, None


class _Gather(torch.autograd.Function):
    """[T K, D] to [T, D]: the sum over each token's experts."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, order: Tensor, place: Tensor, top: int) -> Tensor:
        ctx.save_for_backward(order)
        ctx.top = top
        return _summed(y, place, top)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (order,) = ctx.saved_tensors
        return grads[0].index_select(0, order // ctx.top), None, None, None


def _summed(y: Tensor, place: Tensor, top: int) -> Tensor:
    rows = y.index_select(0, place).view(-1, top, y.shape[-1])
    return rows[:, 0] + rows[:, 1] if top == 2 else rows.sum(1)


class _Experts(torch.autograd.Function):
    """down_e(w * silu(gate_e x) * up_e x) for rows sorted by expert; `sizes` are the rows of each."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, gate_up: Tensor, down: Tensor, sizes: list[int]) -> Tensor:
        inner = down.shape[-1]
        h = x.new_empty(len(x), 2 * inner)
        for part, out, weight in zip(x.split(sizes), h.split(sizes), gate_up, strict=True):
            torch.mm(part, weight.T, out=out)
        act = functional.silu(h[:, :inner]).mul_(h[:, inner:])
        weighted = act * w[:, None]
        y = torch.empty_like(x)
        for part, out, weight in zip(weighted.split(sizes), y.split(sizes), down, strict=True):
            torch.mm(part, weight.T, out=out)
        ctx.save_for_backward(x, w, gate_up, down, h, act)
        ctx.sizes = sizes
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w, gate_up, down, h, act = ctx.saved_tensors
        sizes, inner, dy = ctx.sizes, down.shape[-1], grads[0].contiguous()
        weighted = act * w[:, None]
        d_weighted, d_down = torch.empty_like(act), torch.empty_like(down)
        for grad, part, weight, out, d_weight in zip(
            dy.split(sizes), weighted.split(sizes), down, d_weighted.split(sizes), d_down, strict=True
        ):
            torch.mm(grad, weight, out=out)
            torch.mm(grad.T, part, out=d_weight)
        dw = (d_weighted * act).sum(-1)
        d_act = d_weighted.mul_(w[:, None])
        gate, up = h[:, :inner], h[:, inner:]
        dh = torch.empty_like(h)
        torch.mul(d_act, functional.silu(gate), out=dh[:, inner:])
        torch.ops.aten.silu_backward.grad_input(d_act.mul_(up), gate, grad_input=dh[:, :inner])
        dx, d_gate_up = torch.empty_like(x), torch.empty_like(gate_up)
        for grad, part, weight, out, d_weight in zip(
            dh.split(sizes), x.split(sizes), gate_up, dx.split(sizes), d_gate_up, strict=True
        ):
            torch.mm(grad, weight, out=out)
            torch.mm(grad.T, part, out=d_weight)
        return dx, dw, d_gate_up, d_down, None
