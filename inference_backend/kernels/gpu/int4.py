"""The product with one INT4 matrix: few tokens with the columns split over programs, many in tiles."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kernels.gpu.launch import on_device, power, product_type, splits, tuned
from inference_backend.kernels.gpu.weights import add_product, tile_configs


@tuned(tile_configs(), key=["rows", "columns", "BLOCK_M"])
@triton.jit
def _int4_matmul(
    x, packed, scale, out, tokens, rows, columns, words, groups, per_split,
    PRODUCT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Grid: tiles of tokens (neighbours share W in the cache), tiles of rows, splits of the columns. `out` [splits, M, N]."""
    split = tl.program_id(2)
    token = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    row = (tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)).to(tl.int64)
    begin = split * per_split
    total = add_product(
        tl.zeros([BLOCK_N, BLOCK_M], tl.float32),
        packed + row * words, scale + row * groups, row < rows,
        x + token.to(tl.int64) * columns, token < tokens,
        begin, tl.minimum(begin + per_split, columns), True, PRODUCT, BLOCK_K,
    )  # fmt: skip
    at = out + (split * tokens + token[None, :]).to(tl.int64) * rows + row[:, None]
    tl.store(at, total.to(out.dtype.element_ty), mask=(row < rows)[:, None] & (token < tokens)[None, :])


def int4_matmul_triton(x: Tensor, packed: Tensor, scale: Tensor) -> Tensor:
    """`x` [T, K] to [T, N]. Parts of a split are summed in their order: the same bits every time."""
    tokens, columns = x.shape
    rows = len(packed)
    if not tokens:
        return x.new_empty(0, rows)
    block_m = min(128, power(tokens))
    parts = splits(triton.cdiv(rows, 64) * triton.cdiv(tokens, block_m), columns // 512)
    per_split = triton.cdiv(columns, parts * 256) * 256 if parts > 1 else columns
    parts = triton.cdiv(columns, per_split)
    out = x.new_empty(parts, tokens, rows, dtype=torch.float32 if parts > 1 else x.dtype)

    def grid(chosen: dict[str, int]) -> tuple[int, int, int]:
        return triton.cdiv(tokens, block_m), triton.cdiv(rows, chosen["BLOCK_N"]), parts

    with on_device(x):
        _int4_matmul[grid](
            x.contiguous(), packed, scale, out, tokens, rows, columns, packed.shape[1], scale.shape[1],
            per_split, PRODUCT=product_type(x.dtype), BLOCK_M=block_m,
        )  # fmt: skip
    return out.sum(0).to(x.dtype) if parts > 1 else out[0]
