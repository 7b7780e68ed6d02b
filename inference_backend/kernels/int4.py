"""Products with INT4 weights as K2-Thinking ships them: codes of 4 bits, one bfloat16 scale per 32 inputs.

Word j of a row of `packed` (int32, [N, K / 8]) holds columns 8j to 8j + 7, lowest nibble first, each code plus 8 (so 0 to 15);
`scale` is bfloat16, [N, K / 32]; a weight is (nibble - 8) * scale.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

GROUP = 32


@dataclass(frozen=True, slots=True)
class Int4:
    """One matrix [N, K], or E of them stacked: `packed` [(E,) N, K / 8] int32, `scale` [(E,) N, K / 32] bfloat16."""

    packed: Tensor
    scale: Tensor

    def __getitem__(self, index: int) -> "Int4":
        return Int4(self.packed[index], self.scale[index])


def int4_dequantise(w: Int4, dtype: torch.dtype) -> Tensor:
    """[(E,) N, K], exact in float32 before it is rounded to `dtype`."""
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=w.packed.device)
    codes = ((w.packed.unsqueeze(-1) >> shifts) & 15).sub_(8).flatten(-2)
    values = codes.float().unflatten(-1, (-1, GROUP)) * w.scale.float().unsqueeze(-1)
    return values.flatten(-2).to(dtype)


def int4_matmul(x: Tensor, w: Int4) -> Tensor:
    """`x` [T, K] times the transposed matrix: [T, N] in the type of `x`."""
    return int4_matmul_plain(x, w)


def int4_matmul_plain(x: Tensor, w: Int4) -> Tensor:
    return x @ int4_dequantise(w, x.dtype).T
