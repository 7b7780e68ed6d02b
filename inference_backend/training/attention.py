"""Causal attention for training: episodes that share what they begin with, and the largest logits without the logits.

T = P + B L tokens lie end to end: a common beginning of P, then B episodes of L. An episode sees the beginning and itself. Its
attention is put together out of two parts (as in online softmax, arXiv 2205.14135): all episodes' queries against the
beginning's keys in one piece, which are never repeated, and each episode against itself. The score matrix is never whole: the
forward pass is torch's fused one, the backward pass and `max_logits` work on tiles, in bfloat16 on matrix units.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

TILE = 1 << 21
"""Scores that are worked on at a time, about: what caches hold."""
MULTIPLE = 32
"""Inner sizes that matrix units take without a slow path."""


@dataclass(frozen=True, slots=True)
class Spans:
    """How the tokens lie."""

    common: int  # P
    episodes: int  # B
    length: int  # L


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, spans: Spans) -> Tensor:
    """q and k [H, T, X], v [H, T, V] to [H, T, V]."""
    if q.dtype == torch.bfloat16 and q.device.type == "cpu" and v.shape[-1] <= q.shape[-1]:
        padded = functional.pad(v, (0, q.shape[-1] - v.shape[-1])) if v.shape[-1] < q.shape[-1] else v
        return _Attend.apply(q.contiguous(), k.contiguous(), padded.contiguous(), scale, spans)[..., : v.shape[-1]]
    return _attend_plain(q, k, v, scale, spans)


def _attend_plain(q: Tensor, k: Tensor, v: Tensor, scale: float, spans: Spans) -> Tensor:
    """The same in torch's own operations: the beginning is repeated for every episode."""
    sizes = [spans.common, q.shape[1] - spans.common]
    (q0, q), (k0, k), (v0, v) = (x.split(sizes, dim=1) for x in (q, k, v))
    out = functional.scaled_dot_product_attention(q0, k0, v0, is_causal=True, scale=scale)
    q, k, v = (x.unflatten(1, (spans.episodes, spans.length)) for x in (q, k, v))  # [H, B, L, X]
    k, v = (
        torch.cat([start[:, None].expand(-1, spans.episodes, -1, -1), part], dim=2)
        for start, part in ((k0, k), (v0, v))
    )
    seen = torch.ones(spans.length, k.shape[2], dtype=torch.bool, device=q.device).tril_(spans.common)
    rest = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale)
    return torch.cat([out, rest.flatten(1, 2)], dim=1)


class _Attend(torch.autograd.Function):
    """Fused forward of torch; a backward pass of its own, which takes half the time of torch's on a CPU.

    Probabilities are exp(q k - lse); the subtraction of lse happens within the product, in the float32 sums of the matrix unit:
    lse is two more channels of q, its upper and its lower half in bfloat16, against -1 in k. So is that of
    delta = sum(dout * out) in the gradient of the probabilities.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float, spans: Spans) -> Tensor:
        out, lse = torch.empty_like(v), torch.empty(q.shape[:2])
        start, shape = spans.common, (spans.episodes, spans.length)
        own_q, own_k, own_v = (x[:, start:].unflatten(1, shape) for x in (q, k, v))
        rest, rest_lse = _fused(own_q, own_k, own_v, scale, causal=True)
        rest, rest_lse = rest.flatten(1, 2), rest_lse.flatten(1, 2)
        if start:
            first_q, first_k, first_v = (x[None, :, :start] for x in (q, k, v))
            made, made_lse = _fused(first_q, first_k, first_v, scale, causal=True)
            out[:, :start], lse[:, :start] = made[0], made_lse[0]
            far, far_lse = _fused(q[None, :, start:], first_k, first_v, scale, causal=False)
            both = torch.logaddexp(far_lse[0], rest_lse)
            rest = far[0] * (far_lse[0] - both).exp_()[..., None] + rest * (rest_lse - both).exp_()[..., None]
            rest_lse = both
        out[:, start:], lse[:, start:] = rest, rest_lse
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.scale, ctx.spans = scale, spans
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, lse = ctx.saved_tensors
        grad, start = grads[0].contiguous(), ctx.spans.common
        scaled = q * ctx.scale
        delta = (grad.float() * out.float()).sum(-1)
        wide = _with_halves(scaled, lse), _with_ones(k), _with_halves(grad, delta), _with_ones(v)
        held = (*wide, scaled, k, grad)
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        if start:
            _to_beginning(held, dq, dk, dv, start)
            _to_itself([x[:, :start] for x in held], dq[:, :start], dk[:, :start], dv[:, :start])
        shape = (ctx.spans.episodes, ctx.spans.length)
        for head in range(len(q)):  # so that all are views
            parts = [x[head, start:].unflatten(0, shape) for x in (*held, dq, dk, dv)]
            _to_itself(parts[:-3], *parts[-3:])
        return dq.mul_(ctx.scale), dk, dv, None, None


def _fused(q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool) -> tuple[Tensor, Tensor]:
    """Outputs [.., .., L, X] and log-sum-exps [.., .., L] of torch's fused attention on the CPU."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)
    return out, lse


def _to_beginning(held: tuple[Tensor, ...], dq: Tensor, dk: Tensor, dv: Tensor, start: int) -> None:
    """Adds the gradients of all later queries' attention to the first `start` keys. Sums over queries are float32."""
    wide_q, wide_k, wide_grad, wide_v, scaled, k, grad = held
    sum_k, sum_v = (torch.zeros(len(x), start, x.shape[-1]) for x in (dk, dv))
    keys, wide_keys, wide_values = k[:, :start], wide_k[:, :start].mT, wide_v[:, :start].mT
    step = max(TILE // (len(k) * start), 64)
    for begin in range(start, k.shape[1], step):
        rows = slice(begin, begin + step)
        p = torch.bmm(wide_q[:, rows], wide_keys).exp_()
        ds = torch.bmm(wide_grad[:, rows], wide_values).mul_(p)
        sum_v += torch.bmm(p.mT, grad[:, rows])
        sum_k += torch.bmm(ds.mT, scaled[:, rows])
        dq[:, rows] = torch.bmm(ds, keys)
    dk[:, :start], dv[:, :start] = sum_k, sum_v


def _to_itself(held: list[Tensor], dq: Tensor, dk: Tensor, dv: Tensor) -> None:
    """Adds the gradients of causal attention of sequences [G, L, X] to themselves."""
    count, length = held[0].shape[:2]
    for group, begin, end in _tiles(count, length):
        wide_q, wide_k, wide_grad, wide_v, scaled, k, grad = (x[group] for x in held)
        rows, columns = slice(begin, end), slice(end)
        p = torch.bmm(wide_q[:, rows], wide_k[:, columns].mT).exp_()
        p[:, :, begin:].tril_()  # what is not seen may have overflowed; zeros are written over it
        ds = torch.bmm(wide_grad[:, rows], wide_v[:, columns].mT).mul_(p)
        dv[group, columns] += torch.bmm(p.mT, grad[:, rows])
        dk[group, columns] += torch.bmm(ds.mT, scaled[:, rows])
        dq[group, rows] += torch.bmm(ds, k[:, columns])


def _tiles(count: int, length: int) -> Iterator[tuple[slice, int, int]]:
    """Groups of sequences, and spans of their queries, that make tiles of about `TILE` scores."""
    rows = min(length, max(TILE // length, 64))
    many = max(TILE // (rows * length), 1)
    for first in range(0, count, many):
        for begin in range(0, length, rows):
            yield slice(first, first + many), begin, min(begin + rows, length)


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
def max_logits(q: Tensor, k: Tensor, scale: float, spans: Spans, above: float = 0.0) -> Tensor:
    """The largest logit of each head, [H] float32, over all pairs that attention sees: S_max of QK-Clip.

    Norms bound every logit. Where the bound is not over `above` for any head, it is returned as it is: QK-Clip does nothing
    there, and the products need not be computed.
    """
    bound = _norms(q) * _norms(k) * scale
    if float(bound.max()) <= above:
        return bound
    start, heads = spans.common, len(q)
    tops = []
    step = max(TILE // (heads * max(start, 1)), 64)
    for begin in range(start, q.shape[1], step) if start else ():
        tops.append((q[:, begin : begin + step] @ k[:, :start].mT).amax((1, 2)))
    for span, shape in ((slice(start), (1, start)), (slice(start, None), (spans.episodes, spans.length))):
        q_own, k_own = (x[:, span].unflatten(1, shape).flatten(0, 1) for x in (q, k))
        found = torch.full((len(q_own),), float("-inf"), dtype=q.dtype, device=q.device)
        for group, begin, end in _tiles(*q_own.shape[:2]) if shape[1] else ():
            scores = q_own[group, begin:end] @ k_own[group, :end].mT
            hidden = torch.ones(end - begin, end - begin, dtype=torch.bool, device=q.device).triu_(1)
            scores[:, :, begin:].masked_fill_(hidden, float("-inf"))
            found[group] = torch.maximum(found[group], scores.amax((1, 2)))
        tops.append(found.view(heads, -1).amax(1))
    return torch.stack(tops).amax(0).float() * scale


def _norms(x: Tensor) -> Tensor:
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.linalg.vector_norm(x, dim=-1, dtype=wide).amax(1).float()
