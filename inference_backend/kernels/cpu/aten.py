"""torch's own INT4 product for the CPU: the portable path. It wants rows by 16 and scales in the type of the activations."""

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP = 32
_TYPES = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class AtenInt4:
    """One matrix [N, K] or E stacked: `data` [(E,) N, K / 2] in torch's order, `scale` [(E,) K / 32, N, 2] and zeros."""

    data: Tensor
    scale: Tensor

    def __getitem__(self, index: int) -> "AtenInt4":
        return AtenInt4(self.data[index], self.scale[index])


def aten_takes(rows: int, dtype: torch.dtype) -> bool:
    return rows % 16 == 0 and dtype in _TYPES


def aten_pack(packed: Tensor, scale: Tensor, dtype: torch.dtype) -> AtenInt4:
    """`packed` [N, K / 8] int32 and `scale` [N, K / 32] bfloat16, for activations of `dtype`."""
    shifts = torch.arange(0, 32, 4, dtype=torch.int32)
    codes = ((packed[..., None] >> shifts) & 15).flatten(-2)
    scales = torch.stack([scale.T.to(dtype), torch.zeros_like(scale.T, dtype=dtype)], dim=-1)
    return AtenInt4(torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 2), scales.contiguous())


def aten_matmul(x: Tensor, w: AtenInt4) -> Tensor:
    """`x` [T, K] to [T, N], in the type that the weights were packed for, then in that of `x`."""
    wide = x.to(w.scale.dtype).contiguous()
    return torch.ops.aten._weight_int4pack_mm_for_cpu(wide, w.data, GROUP, w.scale).to(x.dtype)


def aten_dequantise(w: AtenInt4, dtype: torch.dtype) -> Tensor:
    columns = w.data.shape[-1] * 2
    return aten_matmul(torch.eye(columns, dtype=w.scale.dtype), w).T.to(dtype)
