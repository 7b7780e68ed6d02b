"""The inner loops of every product with weights: a tile of W, INT4 or not, times some tokens; codes become weights in registers.

`add_product` is for tensor cores: W comes first, [rows, columns] x [columns, tokens], so that 16 tokens are enough for a tile.
`add_one` is for one token: every weight is used once, so that reading it is all that counts, and a tensor core would want it
carried through shared memory first. Word j of a row of INT4 holds columns 8 j to 8 j + 7, lowest nibble first.
"""

import triton
import triton.language as tl

NIBBLES = (0x00780000, 0x00078000)


@triton.jit
def _codes(packed, i: tl.constexpr, PRODUCT: tl.constexpr):
    """Nibbles i and i + 4 of each word, less 8, as PRODUCT: 0x4300 + n are the bits of 128 + n in bfloat16."""
    pair = ((packed >> (4 * i)) & 0x000F000F) | 0x43004300
    low = (pair & 0xFFFF).to(tl.int16).to(tl.bfloat16, bitcast=True).to(PRODUCT)
    high = (pair >> 16).to(tl.int16).to(tl.bfloat16, bitcast=True).to(PRODUCT)
    return low - 136.0, high - 136.0


@triton.jit
def _dequantise(packed, scales, PRODUCT: tl.constexpr):
    """`packed` and the words' `scales` [N, J] to [N, 8 J]. A join's new axis is the fastest: bit 2 of the column goes first."""
    a0, a4 = _codes(packed, 0, PRODUCT)
    a1, a5 = _codes(packed, 1, PRODUCT)
    a2, a6 = _codes(packed, 2, PRODUCT)
    a3, a7 = _codes(packed, 3, PRODUCT)
    even = tl.join(tl.join(a0 * scales, a4 * scales), tl.join(a2 * scales, a6 * scales))
    odd = tl.join(tl.join(a1 * scales, a5 * scales), tl.join(a3 * scales, a7 * scales))
    return tl.reshape(tl.join(even, odd), [packed.shape[0], packed.shape[1] * 8])


@triton.jit
def add_product(
    total, w, scale, rows_inside, x, tokens_inside, begin, end,
    INT4: tl.constexpr, PRODUCT: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """`total` [N, M] += W[n, k] x[m, k] for k from `begin` to `end`, multiples of 32 if INT4.

    `w` and `scale` [N], `x` [M] point to the beginnings of rows.
    """
    for k in range(begin, end, BLOCK_K):
        column = k + tl.arange(0, BLOCK_K)
        inside = column < end
        if INT4:
            word = k // 8 + tl.arange(0, BLOCK_K // 8)
            here = rows_inside[:, None] & (word < end // 8)[None, :]
            packed = tl.load(w[:, None] + word[None, :], mask=here, other=0)
            scales = tl.load(scale[:, None] + (word // 4)[None, :], mask=here, other=0.0).to(PRODUCT)
            values = _dequantise(packed, scales, PRODUCT)
        else:
            here = rows_inside[:, None] & inside[None, :]
            values = tl.load(w[:, None] + column[None, :], mask=here, other=0.0).to(PRODUCT)
        part = tl.load(x[None, :] + column[:, None], mask=inside[:, None] & tokens_inside[None, :], other=0.0)
        total = tl.dot(values, part.to(PRODUCT), total, input_precision="ieee")
    return total


@triton.jit
def add_one(
    w, scale, rows_inside, x, columns, nibble_16, nibble_256,
    INT4: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """The product of rows `w`, `scale` [N] with one `x` [columns]: float32 [N].

    With INT4, x is by eighths: column 8 j + i lies at i * columns / 8 + j. A nibble in the highest bits of a float's fraction
    makes 1 + n / 16, in the next 1 + n / 256: no conversion, and what that adds to the sum depends on x alone. `nibble_16` and
    `nibble_256` are where those bits are, `NIBBLES`: constants in the code would be loaded into registers anew at every use.
    """
    if INT4:
        words = columns // 8
        total = tl.zeros([BLOCK_N, BLOCK_K // 32], tl.float32)
        for first in tl.range(0, words, BLOCK_K // 8, num_stages=STAGES):
            word = first + tl.arange(0, BLOCK_K // 8)
            group = first // 4 + tl.arange(0, BLOCK_K // 32)
            packed = tl.load(w[:, None] + word[None, :], mask=rows_inside[:, None] & (word < words)[None, :], other=0)
            here = rows_inside[:, None] & (group < words // 4)[None, :]
            scales = tl.load(scale[:, None] + group[None, :], mask=here, other=0.0).to(tl.float32)
            by_16 = tl.zeros([BLOCK_N, BLOCK_K // 8], tl.float32)
            by_256 = tl.zeros([BLOCK_N, BLOCK_K // 8], tl.float32)
            extra = tl.zeros([BLOCK_K // 8], tl.float32)
            for p in tl.static_range(4):
                moved = packed << (15 - 8 * p) if p < 2 else packed >> (8 * p - 15)
                even = tl.load(x + 2 * p * words + word, mask=word < words, other=0.0).to(tl.float32)
                odd = tl.load(x + (2 * p + 1) * words + word, mask=word < words, other=0.0).to(tl.float32)
                by_256 += ((moved & nibble_256) | 0x3F800000).to(tl.float32, bitcast=True) * even[None, :]
                by_16 += ((moved & nibble_16) | 0x3F800000).to(tl.float32, bitcast=True) * odd[None, :]
                extra += 16.5 * even + 1.5 * odd
            of_words = 16.0 * by_256 + (by_16 - extra[None, :])
            total += tl.sum(tl.reshape(of_words, [BLOCK_N, BLOCK_K // 32, 4]), 2) * (16.0 * scales)
        return tl.sum(total, 1)
    else:
        total = tl.zeros([BLOCK_N, BLOCK_K], tl.float32)
        for first in tl.range(0, columns, BLOCK_K, num_stages=STAGES):
            column = first + tl.arange(0, BLOCK_K)
            here = rows_inside[:, None] & (column < columns)[None, :]
            values = tl.load(w[:, None] + column[None, :], mask=here, other=0.0).to(tl.float32)
            total += values * tl.load(x + column, mask=column < columns, other=0.0).to(tl.float32)[None, :]
        return tl.sum(total, 1)


def tile_configs() -> list[triton.Config]:
    """Rows, depth, warps and stages to try on sm90: small tiles for few tokens, large ones for many."""
    tried = [
        (64, 128, 4, 4),
        (64, 64, 4, 4),
        (32, 128, 4, 4),
        (64, 256, 4, 3),
        (128, 64, 4, 4),
        (128, 128, 8, 3),
        (256, 64, 8, 3),
    ]
    return [
        triton.Config({"BLOCK_N": n, "BLOCK_K": k}, num_warps=warps, num_stages=stages) for n, k, warps, stages in tried
    ]


def one_configs() -> list[triton.Config]:
    tried = [
        (64, 256, 4, 2),
        (128, 256, 4, 3),
        (128, 256, 4, 1),
        (64, 256, 2, 3),
        (64, 256, 4, 4),
        (32, 512, 4, 3),
        (128, 256, 8, 3),
    ]
    return [
        triton.Config({"BLOCK_N": n, "BLOCK_K": k, "STAGES": stages}, num_warps=warps) for n, k, warps, stages in tried
    ]
