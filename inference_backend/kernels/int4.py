"""Products with INT4 weights as K2-Thinking ships them: codes of 4 bits, one bfloat16 scale per 32 inputs.

Word j of a row of `packed` (int32, [N, K / 8]) holds columns 8j to 8j + 7, lowest nibble first, each code plus 8 (so 0 to 15);
`scale` is bfloat16, [N, K / 32]; a weight is (nibble - 8) * scale. `int4_prepare` and `int4_stack` turn matrices into what is
quickest on their device, once, when a model is loaded; products take either.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from inference_backend.kernels.cpu.aten import AtenInt4, aten_dequantise, aten_matmul, aten_pack, aten_takes
from inference_backend.kernels.cpu.tiles import Tiles, built, empty_pages, kernel
from inference_backend.kernels.dispatch import backend

GROUP = 32


@dataclass(frozen=True, slots=True)
class Int4:
    """One matrix [N, K], or E of them stacked: `packed` [(E,) N, K / 8] int32, `scale` [(E,) N, K / 32] bfloat16."""

    packed: Tensor
    scale: Tensor

    def __getitem__(self, index: int) -> "Int4":
        return Int4(self.packed[index], self.scale[index])


Int4Weights: TypeAlias = Int4 | Tiles | AtenInt4


def int4_prepare(w: Int4, dtype: torch.dtype) -> Int4Weights:
    """One matrix as products with activations of `dtype` on its device want it. `w` itself where that is as it is stored."""
    if backend(w.packed.device) != "cpu":
        return w
    rows = len(w.packed)
    if (found := kernel()) is not None:
        return Tiles(found.pack(w.packed, w.scale), rows)
    return aten_pack(w.packed, w.scale, dtype) if aten_takes(rows, dtype) else w


def int4_stack(matrices: Iterable[Int4], count: int, dtype: torch.dtype) -> Int4Weights:
    """`count` matrices of one shape, stacked and prepared one by one: at no time are all of them in memory twice."""
    whole: list[Tensor] = []
    for number, matrix in enumerate(matrices):
        one = int4_prepare(matrix, dtype)
        if not whole:
            whole = [empty_pages((count, *part.shape), part) for part in _parts(one)]
        for into, part in zip(whole, _parts(one), strict=True):
            into[number] = part
    return Tiles(whole[0], one.rows) if isinstance(one, Tiles) else type(one)(*whole)


def _parts(w: Int4Weights) -> list[Tensor]:
    if isinstance(w, Tiles):
        return [w.data]
    return [w.packed, w.scale] if isinstance(w, Int4) else [w.data, w.scale]


def int4_dequantise(w: Int4Weights, dtype: torch.dtype) -> Tensor:
    """[(E,) N, K], exact in float32 before it is rounded to `dtype`; of prepared weights one matrix only."""
    if isinstance(w, AtenInt4):
        return aten_dequantise(w, dtype)
    if isinstance(w, Tiles):
        w = Int4(*built().unpack(w.data, w.rows))
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=w.packed.device)
    codes = ((w.packed.unsqueeze(-1) >> shifts) & 15).sub_(8).flatten(-2)
    values = codes.float().unflatten(-1, (-1, GROUP)) * w.scale.float().unsqueeze(-1)
    return values.flatten(-2).to(dtype)


def int4_matmul(x: Tensor, w: Int4Weights) -> Tensor:
    """`x` [T, K] times the transposed matrix: [T, N] in the type of `x`."""
    if isinstance(w, Tiles):
        return built().matmul(x, w.data, w.rows).to(x.dtype)
    if isinstance(w, AtenInt4):
        return aten_matmul(x, w)
    if backend(x.device) == "triton":
        from inference_backend.kernels.gpu.int4 import int4_matmul_triton

        return int4_matmul_triton(x, w.packed, w.scale)
    return int4_matmul_plain(x, w)


def int4_matmul_plain(x: Tensor, w: Int4) -> Tensor:
    return x @ int4_dequantise(w, x.dtype).T
