"""Causal attention for training: episodes that share what they begin with, and the largest logits without the logits.

B episodes of L tokens attend to a common beginning of P tokens, whose keys and values are computed once, and to themselves;
S = P + L. The score matrix is never whole: the forward pass is torch's fused one, the backward pass and `max_logits` work
episode by episode, in bfloat16 on matrix units where the tensors are bfloat16.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

TILE = 1 << 19
"""Scores of a head that are worked on at a time, about."""
LONG = 256
"""So many queries are worth two spans: the first does not see the keys of the second."""
MULTIPLE = 32
"""Inner sizes that matrix units take without a slow path."""


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """q [B, H, L, X], k [B, H, S, X], v [B, H, S, V] to [B, H, L, V]: the queries are the last L of S positions."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu" and v.shape[-1] <= q.shape[-1]:
        padded = functional.pad(v, (0, q.shape[-1] - v.shape[-1])) if v.shape[-1] < q.shape[-1] else v
        return _Attend.apply(q, k, padded, scale)[..., : v.shape[-1]]
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=_seen(q, k), scale=scale)


def _seen(q: Tensor, k: Tensor) -> Tensor:
    """[L, S], true where a query sees a key; the lengths are those of `q` and `k`."""
    new, seen = q.shape[2], k.shape[2]
    return torch.ones(new, seen, dtype=torch.bool, device=q.device).tril_(seen - new)


class _Attend(torch.autograd.Function):
    """Fused forward of torch; a backward pass of its own, which takes half the time of torch's on a CPU.

    The probabilities of an episode are exp(q k - lse); the subtraction of lse happens within the product, in the float32 sums of
    the matrix unit: lse is two more channels of q, its upper and its lower half in bfloat16, against -1 in k. So is that of
    delta = sum(dout * out) in the gradient of the probabilities.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        square = q.shape[2] == k.shape[2]
        mask = None
        if not square:
            mask = torch.zeros(q.shape[2], k.shape[2]).masked_fill_(~_seen(q, k), float("-inf"))[None, None]
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, square, attn_mask=mask, scale=scale
        )
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.scale = scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, out, lse = ctx.saved_tensors
        grad = grads[0].contiguous()
        new, seen = q.shape[2], k.shape[2]
        start = seen - new
        scaled = q * ctx.scale
        delta = (grad.float() * out.float()).sum(-1)
        wide_q, wide_grad = _with_halves(scaled, lse), _with_halves(grad, delta)
        wide_k, wide_v = _with_ones(k), _with_ones(v)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for begin, end in _tiles(new, seen):
            p = q.new_empty(q.shape[1], end - begin, start + end)
            ds = torch.empty_like(p)
            rows, columns = slice(begin, end), slice(start + end)
            for b in range(len(q)):
                torch.bmm(wide_q[b, :, rows], wide_k[b, :, columns].mT, out=p)
                p.exp_()[
                    :, :, start + begin :
                ].tril_()  # what is not seen may have overflowed; zeros are written over it
                dv[b, :, columns].baddbmm_(p.mT, grad[b, :, rows])
                torch.bmm(wide_grad[b, :, rows], wide_v[b, :, columns].mT, out=ds)
                ds.mul_(p)
                torch.bmm(ds, k[b, :, columns], out=dq[b, :, rows])
                dk[b, :, columns].baddbmm_(ds.mT, scaled[b, :, rows])
        return dq.mul_(ctx.scale), dk, dv, None


def _with_halves(x: Tensor, value: Tensor) -> Tensor:
    """x [..., X] with two more channels that add up to `value` [...], and zeros up to a multiple of 32."""
    upper = value.to(x.dtype)
    lower = (value - upper.float()).to(x.dtype)
    wide = x.new_zeros(*x.shape[:-1], _padded(x.shape[-1]))
    wide[..., : x.shape[-1]] = x
    wide[..., x.shape[-1]], wide[..., x.shape[-1] + 1] = upper, lower
    return wide


def _with_ones(x: Tensor) -> Tensor:
    wide = x.new_zeros(*x.shape[:-1], _padded(x.shape[-1]))
    wide[..., : x.shape[-1]] = x
    wide[..., x.shape[-1] : x.shape[-1] + 2] = -1
    return wide


def _padded(channels: int) -> int:
    return -(-(channels + 2) // MULTIPLE) * MULTIPLE


@torch.no_grad()
def max_logits(q: Tensor, k: Tensor, scale: float, above: float = 0.0) -> Tensor:
    """The largest logit of each head, [H] float32, over all pairs that attention sees: S_max of QK-Clip.

    Norms bound every logit. Where the bound is not over `above` for any head, it is returned as it is: QK-Clip does nothing
    there, and the products need not be computed.
    """
    bound = _norms(q) * _norms(k) * scale
    if float(bound.max()) <= above:
        return bound
    new, seen = q.shape[2], k.shape[2]
    start = seen - new
    top = torch.full((q.shape[1],), float("-inf"), device=q.device)
    for begin, end in _tiles(new, seen):
        hidden = ~_seen(q[:, :, begin:end], k[:, :, begin:end])
        for one_q, one_k in zip(q[:, :, begin:end], k[:, :, : start + end], strict=True):
            scores = one_q @ one_k.mT
            scores[:, :, start + begin :].masked_fill_(hidden, float("-inf"))
            top = torch.maximum(top, scores.amax((1, 2)).float() * scale)
    return top


def _tiles(new: int, seen: int) -> list[tuple[int, int]]:
    """Spans of queries that are worked on at a time: few for the matrix unit's sake, short where there are many keys."""
    size = max(TILE // seen, 64)
    count = max(-(-new // size), 2 if new >= LONG else 1)
    size = -(-new // count)
    return [(begin, min(begin + size, new)) for begin in range(0, new, size)]


def _norms(x: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=-1, dtype=wide).amax((0, 2)).float()
