"""RMSNorm, one row per program."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kernels.gpu.launch import on_device, power


@triton.jit
def _rms_norm(x, weight, out, stride, columns, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < columns
    values = tl.load(x + row * stride + at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.rsqrt(tl.sum(values * values) / columns + eps)
    weights = tl.load(weight + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * columns + at, (values * scale * weights).to(out.dtype.element_ty), mask=inside)


def rms_norm_triton(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    columns = x.shape[-1]
    rows = x.reshape(-1, columns)
    rows = rows if rows.stride(-1) == 1 else rows.contiguous()
    out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    if len(rows):
        block = power(columns)
        with on_device(x):
            _rms_norm[(len(rows),)](
                rows, weight, out, rows.stride(0), columns, eps, BLOCK=block, num_warps=min(16, max(1, block // 512))
            )
    return out
