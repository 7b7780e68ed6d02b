"""Absorbed attention over the paged cache of latents, decode and prefill by one kernel: one key for all heads.

Flash attention whose rows are a sequence's new tokens' heads, token after token: all read the same keys, so that a tile of rows
is heads of one token or of several. Where rows alone do not fill the GPU (decode), keys are split over programs, and a second
launch joins the parts.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kernels.gpu.launch import on_device, power, product_type, splits, tuned

_CONFIGS = [
    triton.Config({"BLOCK_S": keys}, num_warps=warps, num_stages=stages)
    for keys, warps, stages in [(32, 4, 2), (64, 4, 2), (64, 8, 2), (32, 8, 3), (128, 8, 1)]
]
_LOG2_E = 1.4426950408889634
_LN_2 = tl.constexpr(0.6931471805599453)


@tuned(_CONFIGS, key=["heads", "parts", "RANK", "BLOCK_M"])
@triton.jit
def _attend(
    q, cache, tables, seen, out, sums, scale, tokens, heads, table_width, parts,
    SIZE: tl.constexpr, RANK: tl.constexpr, WIDTH: tl.constexpr, PRODUCT: tl.constexpr, WHOLE: tl.constexpr,
    BLOCK_C: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of rows, sequences, parts of the keys. `out` [B, rows, parts, C], `sums` [B, rows, parts].

    `seen` [B, tokens] are the keys that each token sees. `scale` is that of the scores in base 2. `sums` are logarithms to
    base 2; natural ones if WHOLE, where there is one part.
    """
    sequence, part = tl.program_id(1), tl.program_id(2)
    row = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    real = row < tokens * heads
    count = tl.load(seen + sequence * tokens + row // heads, mask=real, other=0)
    highest = tl.max(count, 0)
    share = tl.cdiv(tl.cdiv(highest, BLOCK_S), parts) * BLOCK_S
    begin = part * share
    end = tl.minimum(begin + share, highest)

    rank, rest = tl.arange(0, BLOCK_C), tl.arange(0, BLOCK_R)
    rank_in, rest_in = (rank < RANK), (rest < WIDTH - RANK)
    line = (sequence * tokens * heads + row).to(tl.int64)
    q_at = q + line[:, None] * WIDTH
    q_rank = tl.load(q_at + rank[None, :], mask=real[:, None] & rank_in[None, :], other=0.0).to(PRODUCT)
    q_rest = tl.load(q_at + RANK + rest[None, :], mask=real[:, None] & rest_in[None, :], other=0.0).to(PRODUCT)
    most = tl.full([BLOCK_M], float("-inf"), tl.float32)
    weight = tl.zeros([BLOCK_M], tl.float32)
    total = tl.zeros([BLOCK_M, BLOCK_C], tl.float32)
    for start in range(begin, end, BLOCK_S):
        position = start + tl.arange(0, BLOCK_S)
        inside = position < end
        block = tl.load(tables + sequence * table_width + position // SIZE, mask=inside, other=0).to(tl.int64)
        key_at = cache + (block * SIZE + position % SIZE)[:, None] * WIDTH
        k_rank = tl.load(key_at + rank[None, :], mask=inside[:, None] & rank_in[None, :], other=0.0).to(PRODUCT)
        k_rest = tl.load(key_at + RANK + rest[None, :], mask=inside[:, None] & rest_in[None, :], other=0.0).to(PRODUCT)
        score = tl.dot(q_rank, tl.trans(k_rank), input_precision="ieee")
        score = tl.dot(q_rest, tl.trans(k_rest), score, input_precision="ieee") * scale
        score = tl.where(inside[None, :] & (position[None, :] < count[:, None]), score, float("-inf"))
        higher = tl.maximum(most, tl.max(score, 1))
        base = tl.where(higher == float("-inf"), 0.0, higher)
        shrink = tl.exp2(most - base)
        p = tl.exp2(score - base[:, None])
        weight = weight * shrink + tl.sum(p, 1)
        total = tl.dot(p.to(PRODUCT), k_rank, total * shrink[:, None], input_precision="ieee")
        most = higher
    some = tl.where(weight > 0, weight, 1.0)
    total = total / some[:, None]
    line = line * parts + part
    tl.store(
        out + line[:, None] * RANK + rank[None, :],
        total.to(out.dtype.element_ty),
        mask=real[:, None] & rank_in[None, :],
    )
    log = tl.where(weight > 0, most + tl.log2(some), float("-inf"))
    tl.store(sums + line, log * _LN_2 if WHOLE else log, mask=real)


@triton.jit
def _join(parts_out, sums, out, lse, PARTS: tl.constexpr, RANK: tl.constexpr, BLOCK_C: tl.constexpr):
    """Parts of one row, each by its share of the weights, and the natural logarithm of the whole sum."""
    row = tl.program_id(0).to(tl.int64)
    part, rank = tl.arange(0, PARTS), tl.arange(0, BLOCK_C)
    log = tl.load(sums + row * PARTS + part)
    highest = tl.max(log, 0)
    share = tl.exp2(log - tl.where(highest == float("-inf"), 0.0, highest))
    weight = tl.sum(share, 0)
    some = tl.where(weight > 0, weight, 1.0)
    share = share / some
    at = parts_out + (row * PARTS + part)[:, None] * RANK + rank[None, :]
    total = tl.sum(tl.load(at, mask=(rank < RANK)[None, :], other=0.0) * share[:, None], 0)
    tl.store(out + row * RANK + rank, total.to(out.dtype.element_ty), mask=rank < RANK)
    tl.store(lse + row, tl.where(weight > 0, highest + tl.log2(some), float("-inf")) * _LN_2)


def mla_decode_triton(
    q: Tensor, cache: Tensor, tables: Tensor, lengths: Tensor, scale: float, rank: int
) -> tuple[Tensor, Tensor]:
    out, lse = _launch(q[:, None], cache, tables, lengths, scale, rank)
    return out[:, 0], lse[:, 0]


def mla_prefill_triton(
    q: Tensor, cache: Tensor, table: Tensor, seen: Tensor, scale: float, rank: int
) -> tuple[Tensor, Tensor]:
    out, lse = _launch(q[None], cache, table[None], seen, scale, rank)
    return out[0], lse[0]


def _launch(q: Tensor, cache: Tensor, tables: Tensor, seen: Tensor, scale: float, rank: int) -> tuple[Tensor, Tensor]:
    """`q` [B, T, H, L], `seen` [B * T]; returns [B, T, H, C] and float32 [B, T, H]. Nothing waits for the device."""
    sequences, tokens, heads, width = q.shape
    size, rows = cache.shape[1], tokens * heads
    out = q.new_empty(sequences, tokens, heads, rank)
    lse = q.new_empty(sequences, tokens, heads, dtype=torch.float32)
    if not out.numel():
        return out, lse
    block_m = min(64, power(rows))
    tiles = triton.cdiv(rows, block_m) * sequences
    parts = splits(tiles, tables.shape[1] * size // 128)
    whole = parts == 1
    into = out if whole else q.new_empty(sequences, rows, parts, rank, dtype=torch.float32)
    sums = lse if whole else q.new_empty(sequences, rows, parts, dtype=torch.float32)
    with on_device(q):
        _attend[(triton.cdiv(rows, block_m), sequences, parts)](
            q.contiguous(), cache, tables.contiguous(), seen, into, sums, scale * _LOG2_E, tokens, heads,
            tables.shape[1], parts, SIZE=size, RANK=rank, WIDTH=width, PRODUCT=product_type(q.dtype), WHOLE=whole,
            BLOCK_C=power(rank), BLOCK_R=power(width - rank), BLOCK_M=block_m,
        )  # fmt: skip
        if not whole:
            _join[(sequences * rows,)](into, sums, out, lse, PARTS=parts, RANK=rank, BLOCK_C=power(rank))
    return out, lse
