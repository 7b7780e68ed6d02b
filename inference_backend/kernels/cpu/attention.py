"""Attention on the CPU by torch's blocked kernel, which never holds all scores, over parts that are merged.

The kernel wants keys and values of one width, and gives the log of the sum of the exponentials of the scores: with it parts of a
context merge exactly (FlashAttention-2, section 3.1).
"""

import torch
from torch import Tensor
from torch.nn import functional

TYPES = (torch.float32, torch.bfloat16, torch.float16)
PART = 1024
"""Rows of the cache that are worth a thread of their own; up to as many keys, plain products of some queries are quicker."""
QUERIES = 128
"""Queries of one plain product: what lies beyond them is not multiplied."""


def _merge(outs: Tensor, lses: Tensor) -> tuple[Tensor, Tensor]:
    """`outs` [P, ..., X] and `lses` [P, ...] of P parts of one context, as one [..., X] and its lse; float32."""
    return (outs.float() * lses.softmax(0)[..., None]).sum(0), lses.logsumexp(0)


def _flash(q: Tensor, k: Tensor, v: Tensor, scale: float, *, causal: bool) -> tuple[Tensor, Tensor]:
    """[B, H, T, X] over [B, H, S, X]: the result, and lse [B, H, T]."""
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)
    return out, lse


def causal_attention_short(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """See `kernels.attention`, for up to PART keys."""
    start, outs = k.shape[1] - q.shape[1], []
    for begin in range(0, q.shape[1], QUERIES):
        some = q[:, begin : begin + QUERIES]
        seen = start + begin + some.shape[1]
        later = q.new_full((some.shape[1], seen), float("-inf")).triu_(start + begin + 1)
        scores = torch.baddbmm(later, some, k[:, :seen].transpose(1, 2), alpha=scale)
        outs.append(torch.bmm(scores.softmax(-1), v[:, :seen]))
    return torch.cat(outs, dim=1)


def causal_attention_flash(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """See `kernels.attention`: what lies before the T queries needs no mask, and the rest is plainly causal."""
    width, start = max(q.shape[-1], v.shape[-1]), k.shape[1] - q.shape[1]
    q, k, v_wide = (functional.pad(x, (0, width - x.shape[-1]))[None] for x in (q, k, v))
    out, lse = _flash(q, k[:, :, start:], v_wide[:, :, start:], scale, causal=True)
    if start:
        past, past_lse = _flash(q, k[:, :, :start], v_wide[:, :, :start], scale, causal=False)
        out = _merge(torch.stack([past, out]), torch.stack([past_lse, lse]))[0].to(q.dtype)
    return out[0, ..., : v.shape[-1]]


def mla_decode_flash(q: Tensor, rows: Tensor, scale: float, rank: int) -> tuple[Tensor, Tensor]:
    """One token's heads `q` [H, L] over the latents `rows` [S, L] that it sees; [H, rank] and lse [H].

    All heads read the same rows: they are the queries of one head. Threads share the context, as there is nothing else to share.
    """
    if not len(rows):
        return q.new_zeros(len(q), rank), q.new_full((len(q),), float("-inf"), dtype=torch.float32)
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
    merged, total = _merge(torch.cat(outs), torch.cat(lses))
    return merged[:, :rank].to(q.dtype), total


def mla_prefill_flash(q: Tensor, rows: Tensor, seen: Tensor, scale: float, rank: int) -> tuple[Tensor, Tensor]:
    """`q` [T, H, L] over the latents `rows` [S, L], of which token t sees the first `seen[t]`, ascending; [T, H, rank], lse.

    What all of them see is one head's keys for T H queries; the rest is little, and masked.
    """
    common = int(seen[0])
    past = rows[None, None, :common]
    out, lse = _flash(q.flatten(0, 1)[None, None], past, past, scale, causal=False)
    before, before_lse = (each[0, 0].unflatten(0, q.shape[:2]) for each in (out, lse))
    if common == len(rows):
        return before[..., :rank], before_lse
    rest = rows[common:]
    scores = torch.einsum("thl,sl->ths", q, rest).float() * scale
    hidden = torch.arange(common, len(rows)) >= seen[:, None]
    scores = scores.masked_fill(hidden[:, None], float("-inf"))
    own_lse = scores.logsumexp(-1)
    weights = (
        scores - own_lse.clamp(min=torch.finfo(torch.float32).min)[..., None]
    ).exp()  # the first token sees none of it
    own = torch.einsum("ths,sc->thc", weights.to(q.dtype), rest[:, :rank])
    merged, total = _merge(torch.stack([before[..., :rank], own]), torch.stack([before_lse, own_lse]))
    return merged.to(q.dtype), total
