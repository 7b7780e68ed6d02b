"""Attention over the paged cache of latents (absorbed MLA): every head reads the same one vector per token.

A row of the cache is [C + R]: the compressed KV after its norm, then the rotary key. Block b holds 64 rows; row r of a sequence
lies in row r % 64 of its block `table[r // 64]`. Queries are folded through kv_b_proj's key half already, outputs are latents
[H, C] that the caller unfolds through its value half.

Each output comes with the natural logarithm of its weights' sum (`lse`, float32; minus infinity and an output of zeros where a
query sees no row), so that outputs over several parts of a sequence can be merged.
"""

import torch
from torch import Tensor

from inference_backend.kernels.dispatch import backend

LONG = 512
"""Tokens of context from which a sequence is worth calls of its own; shorter ones are copied side by side."""


def mla_decode(
    q: Tensor, cache: Tensor, tables: Tensor, lengths: Tensor, scale: float, rank: int
) -> tuple[Tensor, Tensor]:
    """One new token per sequence, its own row written already.

    `q` [B, H, C + R]; `cache` [blocks, 64, C + R]; `tables` [B, M] int32 (rows padded with anything valid); `lengths` [B] int32,
    the rows that each sees, may be 0; `rank` is C. Returns [B, H, C] in the type of `q`, and its lse [B, H]; scores and sums are
    float32.
    """
    if backend(q.device) == "triton":
        from inference_backend.kernels.gpu.mla import mla_decode_triton

        return mla_decode_triton(q, cache, tables, lengths, scale, rank)
    if backend(q.device) == "cpu" and int(lengths.max()) >= LONG:
        from inference_backend.kernels.cpu.attention import TYPES, mla_decode_flash

        if q.dtype in TYPES and q.dtype == cache.dtype:
            rows = (gather_rows(cache, table, length) for table, length in zip(tables, lengths.tolist(), strict=True))
            each = [mla_decode_flash(heads, seen, scale, rank) for heads, seen in zip(q, rows, strict=True)]
            return torch.stack([out for out, _ in each]), torch.stack([lse for _, lse in each])
    return mla_decode_plain(q, cache, tables, lengths, scale, rank)


def mla_decode_plain(
    q: Tensor, cache: Tensor, tables: Tensor, lengths: Tensor, scale: float, rank: int
) -> tuple[Tensor, Tensor]:
    most = max(int(lengths.max()), 1)
    used = tables[:, : -(-most // cache.shape[1])].long()
    rows = cache[used].flatten(1, 2)[:, :most].to(q.dtype)  # [B, S, L]
    weights, lse = _softmax(torch.einsum("bhl,bsl->bhs", q, rows).float() * scale, lengths[:, None, None])
    return torch.einsum("bhs,bsc->bhc", weights.to(q.dtype), rows[..., :rank]), lse


def mla_prefill(
    q: Tensor, cache: Tensor, table: Tensor, seen: Tensor, scale: float, rank: int
) -> tuple[Tensor, Tensor]:
    """T tokens of one sequence, their rows written already.

    `q` [T, H, C + R]; `table` [M] int32; `seen` [T] int32, the rows that each token sees, ascending: none sees a later one.
    Returns [T, H, C] and its lse [T, H].
    """
    if backend(q.device) == "triton":
        from inference_backend.kernels.gpu.mla import mla_prefill_triton

        return mla_prefill_triton(q, cache, table, seen, scale, rank)
    if backend(q.device) == "cpu" and int(seen[0]) >= LONG:
        from inference_backend.kernels.cpu.attention import TYPES, mla_prefill_flash

        if q.dtype in TYPES and q.dtype == cache.dtype:
            return mla_prefill_flash(q, gather_rows(cache, table, int(seen[-1])), seen, scale, rank)
    return mla_prefill_plain(q, cache, table, seen, scale, rank)


def mla_prefill_plain(
    q: Tensor, cache: Tensor, table: Tensor, seen: Tensor, scale: float, rank: int
) -> tuple[Tensor, Tensor]:
    rows = gather_rows(cache, table, max(int(seen[-1]), 1)).to(q.dtype)
    weights, lse = _softmax(torch.einsum("thl,sl->hts", q, rows).float() * scale, seen[:, None])
    return torch.einsum("hts,sc->thc", weights.to(q.dtype), rows[:, :rank]), lse.T


def merge(parts: Tensor, lse: Tensor) -> Tensor:
    """Outputs [N, ..., C] over N parts of the rows, with their lse [N, ...], as one over all rows, float32 [..., C]."""
    return (parts.float() * lse.softmax(0)[..., None]).sum(0)


def gather_rows(cache: Tensor, table: Tensor, length: int) -> Tensor:
    """The first `length` rows of a sequence, [length, L]: a view where its blocks follow one another, else a copy."""
    size = cache.shape[1]
    used = table[: max(-(-length // size), 1)].long()
    first = int(used[0])
    if torch.equal(used, torch.arange(first, first + len(used), device=used.device)):
        return cache[first : first + len(used)].flatten(0, 1)[:length]
    return cache[used].flatten(0, 1)[:length]


def _softmax(scores: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Over the first `seen` of the last axis, all zero where that is none; and the logarithm of the sum."""
    scores = scores.masked_fill_(torch.arange(scores.shape[-1], device=scores.device) >= seen, float("-inf"))
    most = scores.amax(-1, keepdim=True).clamp_(min=torch.finfo(scores.dtype).min)
    weights = scores.sub_(most).exp_()
    total = weights.sum(-1, keepdim=True)
    lse = (most + total.log()).squeeze(-1)
    return weights.div_(total.clamp_(min=torch.finfo(scores.dtype).tiny)), lse
