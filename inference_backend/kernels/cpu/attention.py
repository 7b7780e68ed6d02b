"""Attention on the CPU by torch's blocked kernel, which never holds all scores, over parts that are merged.

The kernel wants keys and values of one width, and gives the log of the sum of the exponentials of the scores: with it parts of a
context merge exactly (FlashAttention-2, section 3.1).
"""

import torch
from torch import Tensor
from torch.nn import functional

TYPES = (torch.float32, torch.bfloat16, torch.float16)
PART = 1024
"""Rows of the cache that are worth a thread of their own."""


def merge(outs: Tensor, lses: Tensor) -> Tensor:
    """`outs` [P, ..., X] and `lses` [P, ...] of P parts of one context, as one [..., X]; float32."""
    return (outs.float() * lses.softmax(0)[..., None]).sum(0)


def _flash(q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool) -> tuple[Tensor, Tensor]:
    """[B, H, T, X] over [B, H, S, X]: the result, and lse [B, H, T]."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)
    return out, lse


def attend_flash(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """See `kernels.attend`: what lies before the T queries needs no mask, and the rest is plainly causal."""
    width, start = max(q.shape[-1], v.shape[-1]), k.shape[1] - q.shape[1]
    q, k, v_wide = (functional.pad(x, (0, width - x.shape[-1]))[None] for x in (q, k, v))
    out, lse = _flash(q, k[:, :, start:], v_wide[:, :, start:], scale, causal=True)
    if start:
        past, past_lse = _flash(q, k[:, :, :start], v_wide[:, :, :start], scale, causal=False)
        out = merge(torch.stack([past, out]), torch.stack([past_lse, lse])).to(q.dtype)
    return out[0, ..., : v.shape[-1]]


def mla_decode_flash(q: Tensor, rows: Tensor, scale: float, rank: int) -> Tensor:
    """One token's heads `q` [H, L] over the latents `rows` [S, L] of its sequence; [H, rank].

    All heads read the same rows: they are the queries of one head. Threads share the context, as there is nothing else to share.
    """
    parts = max(1, min(torch.get_num_threads(), len(rows) // PART))
    size = len(rows) // parts
    cut = rows[: parts * size].view(parts, 1, size, -1)
    out, lse = _flash(q.expand(parts, 1, *q.shape), cut, cut, scale, causal=False)
    outs, lses = [out[:, 0]], [lse[:, 0]]
    if parts * size < len(rows):
        rest = rows[None, None, parts * size :]
        out, lse = _flash(q[None, None], rest, rest, scale, causal=False)
        outs.append(out[:, 0])
        lses.append(lse[:, 0])
    return merge(torch.cat(outs), torch.cat(lses))[:, :rank].to(q.dtype)


def mla_prefill_flash(q: Tensor, rows: Tensor, scale: float, rank: int) -> Tensor:
    """The last tokens of a sequence, `q` [T, H, L], over all its latents `rows` [S, L]; [T, H, rank].

    What lies before them is one head's keys for T H queries; among themselves they are few, and masked.
    """
    start = len(rows) - len(q)
    scores = torch.einsum("thl,sl->ths", q, rows[start:]).float() * scale
    later = torch.ones(len(q), len(q), dtype=torch.bool).triu_(1)
    scores = scores.masked_fill(later[:, None], float("-inf"))
    own = torch.einsum("ths,sc->thc", scores.softmax(-1).to(q.dtype), rows[start:, :rank])
    past = rows[None, None, :start]
    out, lse = _flash(q.flatten(0, 1)[None, None], past, past, scale, causal=False)
    before = out[0, 0].unflatten(0, q.shape[:2])[..., :rank]
    lses = torch.stack([lse[0, 0].unflatten(0, q.shape[:2]), scores.logsumexp(-1)])
    return merge(torch.stack([before, own]), lses).to(q.dtype)
