"""RMSNorm: x / sqrt(mean(x^2) + eps) * weight, computed in float32."""

import torch
from torch import Tensor

from inference_backend.kernels.dispatch import backend


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """`x` [..., D] of any float type, `weight` [D]; the result has the type and shape of `x`."""
    if backend(x.device) == "triton":
        from inference_backend.kernels.gpu.rmsnorm import rms_norm_triton

        return rms_norm_triton(x, weight, eps)
    return rms_norm_plain(x, weight, eps)


def rms_norm_plain(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (wide * scale * weight.float()).to(x.dtype)
