"""Rotary embedding, some heads of one token per program."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kernels.gpu.launch import on_device, power

_HEADS = 16


@triton.jit
def _rope(x, cos, sin, out, stride_token, stride_head, heads, half, HEADS: tl.constexpr, HALF: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * HEADS + tl.arange(0, HEADS)
    pair = tl.arange(0, HALF)
    c = tl.load(cos + token * half + pair, mask=pair < half, other=0.0)[None, :]
    s = tl.load(sin + token * half + pair, mask=pair < half, other=0.0)[None, :]
    inside = (head < heads)[:, None] & (pair < half)[None, :]
    source = x + token * stride_token + head[:, None] * stride_head + 2 * pair[None, :]
    even = tl.load(source, mask=inside, other=0.0).to(tl.float32)
    odd = tl.load(source + 1, mask=inside, other=0.0).to(tl.float32)
    target = out + (token * heads + head[:, None]) * (2 * half) + 2 * pair[None, :]
    tl.store(target, (even * c - odd * s).to(out.dtype.element_ty), mask=inside)
    tl.store(target + 1, (even * s + odd * c).to(out.dtype.element_ty), mask=inside)


def rope_triton(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    tokens, width = len(x), x.shape[-1]
    heads = x.reshape(tokens, -1, width) if x.numel() else x.new_empty(0, 1, width)
    heads = heads if heads.stride(-1) == 1 else heads.contiguous()
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if x.numel():
        grid = (tokens, triton.cdiv(heads.shape[1], _HEADS))
        with on_device(x):
            _rope[grid](
                heads, cos.contiguous(), sin.contiguous(), out, heads.stride(0), heads.stride(1), heads.shape[1],
                width // 2, HEADS=_HEADS, HALF=power(width // 2), num_warps=2,
            )  # fmt: skip
    return out
