"""Rotary embedding of neighbouring pairs (0, 1), (2, 3), ..., as K2 was trained."""

import torch
from torch import Tensor

from inference_backend.kernels.dispatch import backend


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """`x` [T, ..., R]; `cos`, `sin` [T, R / 2] in float32. The result has the type and shape of `x`."""
    if backend(x.device) == "triton":
        from inference_backend.kernels.gpu.rope import rope_triton

        return rope_triton(x, cos, sin)
    return rope_plain(x, cos, sin)


def rope_plain(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    shape = (len(x), *(1,) * (x.dim() - 2), -1)
    cos, sin = cos.view(shape), sin.view(shape)
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2).to(x.dtype)
