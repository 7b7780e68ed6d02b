"""Attention over the paged cache of latents (absorbed MLA): every head reads the same one vector per token.

A row of the cache is [C + R]: the compressed KV after its norm, then the rotary key. Block b holds 64 positions; position p of a
sequence lies in row p % 64 of its block `table[p // 64]`. Queries are folded through kv_b_proj's key half already, outputs are
latents [H, C] that the caller unfolds through its value half.
"""

import torch
from torch import Tensor

from inference_backend.kernels.dispatch import backend

LONG = 512
"""Tokens of context from which a sequence is worth calls of its own; shorter ones are copied side by side."""


def mla_decode(q: Tensor, cache: Tensor, tables: Tensor, lengths: Tensor, scale: float, rank: int) -> Tensor:
    """One new token per sequence, its own row written already.

    `q` [B, H, C + R]; `cache` [blocks, 64, C + R]; `tables` [B, M] int32 (rows padded with anything valid); `lengths` [B] int32,
    the new token counted; `rank` is C. Returns [B, H, C] in the type of `q`; scores and sums are float32.
    """
    if backend(q.device) == "triton":
        from inference_backend.kernels.gpu.mla import mla_decode_triton

        return mla_decode_triton(q, cache, tables, lengths, scale, rank)
    if backend(q.device) == "cpu" and int(lengths.max()) >= LONG:
        from inference_backend.kernels.cpu.attention import TYPES, mla_decode_flash

        if q.dtype in TYPES and q.dtype == cache.dtype:
            seqs = zip(q, tables, lengths.tolist(), strict=True)
            return torch.stack([mla_decode_flash(x, gather_rows(cache, t, n), scale, rank) for x, t, n in seqs])
    return mla_decode_plain(q, cache, tables, lengths, scale, rank)


def mla_decode_plain(q: Tensor, cache: Tensor, tables: Tensor, lengths: Tensor, scale: float, rank: int) -> Tensor:
    most = int(lengths.max())
    used = tables[:, : -(-most // cache.shape[1])].long()
    rows = cache[used].flatten(1, 2)[:, :most].to(q.dtype)  # [B, S, L]
    scores = torch.einsum("bhl,bsl->bhs", q, rows).float() * scale
    beyond = torch.arange(most, device=q.device) >= lengths[:, None]
    scores = scores.masked_fill(beyond[:, None], float("-inf"))
    return torch.einsum("bhs,bsc->bhc", scores.softmax(-1).to(q.dtype), rows[..., :rank])


def mla_prefill(q: Tensor, cache: Tensor, table: Tensor, start: int, scale: float, rank: int) -> Tensor:
    """The T tokens of one sequence at positions from `start` on, their rows written already; none sees a later one.

    `q` [T, H, C + R]; `table` [M] int32. Returns [T, H, C].
    """
    if backend(q.device) == "triton":
        from inference_backend.kernels.gpu.mla import mla_prefill_triton

        return mla_prefill_triton(q, cache, table, start, scale, rank)
    if backend(q.device) == "cpu" and start >= LONG:
        from inference_backend.kernels.cpu.attention import TYPES, mla_prefill_flash

        if q.dtype in TYPES and q.dtype == cache.dtype:
            return mla_prefill_flash(q, gather_rows(cache, table, start + len(q)), scale, rank)
    return mla_prefill_plain(q, cache, table, start, scale, rank)


def mla_prefill_plain(q: Tensor, cache: Tensor, table: Tensor, start: int, scale: float, rank: int) -> Tensor:
    rows = gather_rows(cache, table, start + len(q)).to(q.dtype)
    scores = torch.einsum("thl,sl->hts", q, rows).float() * scale
    scores = scores.masked_fill(_later(len(q), len(rows), q.device), float("-inf"))
    return torch.einsum("hts,sc->thc", scores.softmax(-1).to(q.dtype), rows[:, :rank])


def gather_rows(cache: Tensor, table: Tensor, length: int) -> Tensor:
    """The first `length` rows of a sequence, [length, L]: a view where its blocks follow one another, else a copy."""
    size = cache.shape[1]
    used = table[: -(-length // size)].long()
    first = int(used[0])
    if torch.equal(used, torch.arange(first, first + len(used), device=used.device)):
        return cache[first : first + len(used)].flatten(0, 1)[:length]
    return cache[used].flatten(0, 1)[:length]


def _later(new: int, seen: int, device: torch.device) -> Tensor:
    """[T, S]: True where a key is later than its query; the T queries are the last of the S keys."""
    return torch.arange(seen, device=device) > torch.arange(seen - new, seen, device=device)[:, None]
