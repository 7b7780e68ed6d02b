"""The routed experts in two launches: gate, up and SwiGLU; then down, weighted. INT4 or not, the same code.

Up to `FEW` tokens, each (token, slot) pair is a product of its own: there is nothing to sort, and experts that two tokens share
come from the cache. For more, pairs are sorted by expert and padded to whole blocks, on the device: the host never waits for what
the router chose.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kernels.gpu.launch import on_device, power, product_type, tuned
from inference_backend.kernels.gpu.weights import NIBBLES, add_one, add_product, one_configs, tile_configs

FEW = 8


@triton.jit
def _gate_up_rows(expert, inner, BLOCK_N: tl.constexpr):
    """This program's rows of the expert's [2 I, D] and their channels: gate, up, gate, up, a channel's two are neighbours."""
    at = tl.arange(0, BLOCK_N)
    channel = tl.program_id(1) * (BLOCK_N // 2) + at // 2
    return expert.to(tl.int64) * (2 * inner) + (at % 2) * inner + channel, channel < inner


@triton.jit
def _swiglu(gate, up):
    return gate / (1.0 + tl.exp(-gate)) * up


@tuned(one_configs(), key=["inner", "wide", "INT4"])
@triton.jit
def _gate_up_one(
    x, w, scale, h, experts, first, held, wide, inner, width, groups, nibble_16, nibble_256,
    TOP: tl.constexpr, INT4: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Grid: pairs, rows. `x` [T, D], by eighths if INT4, to `h` [pairs, I], the same."""
    pair = tl.program_id(0)
    expert = tl.load(experts + pair) - first
    if (expert < 0) | (expert >= held):
        return
    row, inside = _gate_up_rows(expert, inner, BLOCK_N)
    x_row = x + (pair // TOP).to(tl.int64) * wide
    both = add_one(
        w + row * width,
        scale + row * groups,
        inside,
        x_row,
        wide,
        nibble_16,
        nibble_256,
        INT4,
        BLOCK_N,
        BLOCK_K,
        STAGES,
    )
    gate, up = tl.split(tl.reshape(both, [BLOCK_N // 2, 2]))
    channel = tl.program_id(1) * (BLOCK_N // 2) + tl.arange(0, BLOCK_N // 2)
    column = (channel % 8) * (inner // 8) + channel // 8 if INT4 else channel
    value = _swiglu(gate, up).to(h.dtype.element_ty)
    tl.store(h + pair.to(tl.int64) * inner + column, value, mask=channel < inner)


@tuned(one_configs(), key=["inner", "wide", "INT4"])
@triton.jit
def _down_one(
    h, w, scale, weights, out, experts, first, held, wide, inner, width, groups, nibble_16, nibble_256,
    INT4: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    pair = tl.program_id(0)
    expert = tl.load(experts + pair) - first
    if (expert < 0) | (expert >= held):
        return
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = expert.to(tl.int64) * wide + column
    h_row = h + pair.to(tl.int64) * inner
    inside = column < wide
    y = add_one(
        w + row * width,
        scale + row * groups,
        inside,
        h_row,
        inner,
        nibble_16,
        nibble_256,
        INT4,
        BLOCK_N,
        BLOCK_K,
        STAGES,
    )
    tl.store(out + pair.to(tl.int64) * wide + column, y * tl.load(weights + pair), mask=inside)


@tuned(tile_configs(), key=["inner", "wide", "INT4", "BLOCK_M"])
@triton.jit
def _gate_up(
    x, w, scale, h, block_pairs, block_experts, pairs, held, wide, inner, width, groups,
    TOP: tl.constexpr, INT4: tl.constexpr, PRODUCT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Grid: blocks of pairs (neighbours share W in the cache), rows. A pair that is `pairs` is padding."""
    block = tl.program_id(0)
    expert = tl.load(block_experts + block)
    if expert >= held:
        return
    pair = tl.load(block_pairs + block * BLOCK_M + tl.arange(0, BLOCK_M))
    row, inside = _gate_up_rows(expert, inner, BLOCK_N)
    total = add_product(
        tl.zeros([BLOCK_N, BLOCK_M], tl.float32), w + row * width, scale + row * groups, inside,
        x + (pair // TOP) * wide, pair < pairs, 0, wide, INT4, PRODUCT, BLOCK_K,
    )  # fmt: skip
    gate, up = tl.split(tl.permute(tl.reshape(total, [BLOCK_N // 2, 2, BLOCK_M]), [0, 2, 1]))
    channel = tl.program_id(1) * (BLOCK_N // 2) + tl.arange(0, BLOCK_N // 2)
    target = h + pair[None, :] * inner + channel[:, None]
    value = _swiglu(gate, up).to(h.dtype.element_ty)
    tl.store(target, value, mask=(channel < inner)[:, None] & (pair < pairs)[None, :])


@tuned(tile_configs(), key=["inner", "wide", "INT4", "BLOCK_M"])
@triton.jit
def _down(
    h, w, scale, weights, out, block_pairs, block_experts, pairs, held, wide, inner, width, groups,
    INT4: tl.constexpr, PRODUCT: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    block = tl.program_id(0)
    expert = tl.load(block_experts + block)
    if expert >= held:
        return
    pair = tl.load(block_pairs + block * BLOCK_M + tl.arange(0, BLOCK_M))
    column = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = expert.to(tl.int64) * wide + column
    total = add_product(
        tl.zeros([BLOCK_N, BLOCK_M], tl.float32), w + row * width, scale + row * groups, column < wide,
        h + pair * inner, pair < pairs, 0, inner, INT4, PRODUCT, BLOCK_K,
    )  # fmt: skip
    total = total * tl.load(weights + pair, mask=pair < pairs, other=0.0)[None, :]
    target = out + pair[None, :] * wide + column[:, None]
    tl.store(target, total, mask=(column < wide)[:, None] & (pair < pairs)[None, :])


def moe_triton(
    x: Tensor,
    experts: Tensor,
    weights: Tensor,
    w13: tuple[Tensor, Tensor | None],
    w2: tuple[Tensor, Tensor | None],
    first: int,
) -> Tensor:
    """As `kernels.moe.moe`; `w13` and `w2` are codes and scales, or values and None. Sums: float32, slot after slot."""
    (tokens, wide), top, held = x.shape, experts.shape[1], len(w13[0])
    inner, pairs, is_int4 = w13[0].shape[1] // 2, tokens * top, w13[1] is not None
    h = x.new_empty(pairs, inner)
    out = x.new_zeros(pairs, wide, dtype=torch.float32)
    if not pairs:
        return out.view(tokens, top, wide).sum(1)
    up, down = (w13[0], x if w13[1] is None else w13[1]), (w2[0], x if w2[1] is None else w2[1])
    experts, weights, x = experts.flatten(), weights.flatten(), x.contiguous()
    with on_device(x):
        if tokens <= FEW:
            last = (experts, first, held, wide, inner)
            source = by_eighths(x) if is_int4 else x
            _gate_up_one[lambda c: (pairs, triton.cdiv(2 * inner, c["BLOCK_N"]))](
                source, *up, h, *last, *_steps(w13), *NIBBLES, TOP=top, INT4=is_int4
            )
            _down_one[lambda c: (pairs, triton.cdiv(wide, c["BLOCK_N"]))](
                h, *down, weights, out, *last, *_steps(w2), *NIBBLES, INT4=is_int4
            )
        else:
            size = min(64, power(pairs // held))
            places, owners = _blocks(experts - first, held, size)
            common = (places, owners, pairs, held, wide, inner)
            fixed = {"INT4": is_int4, "PRODUCT": product_type(x.dtype), "BLOCK_M": size}
            _gate_up[lambda c: (len(owners), triton.cdiv(2 * inner, c["BLOCK_N"]))](
                x, *up, h, *common, *_steps(w13), TOP=top, **fixed
            )
            _down[lambda c: (len(owners), triton.cdiv(wide, c["BLOCK_N"]))](
                h, *down, weights, out, *common, *_steps(w2), **fixed
            )
    return out.view(tokens, top, wide).sum(1)


def _steps(w: tuple[Tensor, Tensor | None]) -> tuple[int, int]:
    """From row to row of the codes or values, and of the scales. Triton sees that they divide by 16, hence how to load."""
    return w[0].shape[-1], 0 if w[1] is None else w[1].shape[-1]


def by_eighths(x: Tensor) -> Tensor:
    """`x` [T, K] with every eighth column together, as `add_one` reads it."""
    return x.unflatten(1, (-1, 8)).transpose(1, 2).reshape(x.shape)


def _blocks(experts: Tensor, held: int, size: int) -> tuple[Tensor, Tensor]:
    """Blocks of `size` pairs of one expert: their pairs [blocks * size], padded with the number of pairs, and experts [blocks].

    There are as many blocks as there can be; those unused have the expert `held`. `experts` [pairs] may hold numbers of others.
    """
    pairs, device = len(experts), experts.device
    most = min(pairs, held) + pairs // size
    known = torch.where((experts >= 0) & (experts < held), experts, held)
    order = known.argsort(stable=True)
    count = torch.zeros(held + 1, dtype=torch.int64, device=device).scatter_add_(0, known, torch.ones_like(known))
    blocks = (count + size - 1) // size
    blocks[held:].zero_()
    ends = blocks.cumsum(0)
    sorted_experts = known[order]
    rank = torch.arange(pairs, device=device) - (count.cumsum(0) - count)[sorted_experts]
    place = torch.where(sorted_experts < held, (ends - blocks)[sorted_experts] * size + rank, most * size)
    filled = torch.full((most * size + 1,), pairs, dtype=torch.int64, device=device).scatter_(0, place, order)
    return filled[:-1], torch.searchsorted(ends[:held].contiguous(), torch.arange(most, device=device), right=True)
