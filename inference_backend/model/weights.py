"""Stored tensors of a checkpoint as torch tensors and linear layers, in the type that they are stored in.

`Stored` gives tensors by the checkpoint's names without its prefix, as NumPy arrays of the stored type (bfloat16 and float8 by
ml_dtypes), memory-mapped where they come from files.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.errors import CheckpointError
from inference_backend.kernels.int4 import GROUP, Int4, Int4Weights, int4_matmul, int4_prepare, int4_stack
from inference_backend.kernels.moe import Matrices
from inference_backend.quantisation import FP8_BLOCK

Stored: TypeAlias = Mapping[str, Any]


class Linear(Protocol):
    def __call__(self, x: Tensor) -> Tensor:
        """`x` [..., K] to [..., N], in the type of `x`."""
        ...


@dataclass(frozen=True, slots=True)
class PlainLinear:
    weight: Tensor  # [N, K]

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)


@dataclass(frozen=True, slots=True)
class Int4Linear:
    weight: Int4Weights

    def __call__(self, x: Tensor) -> Tensor:
        return int4_matmul(x, self.weight)


@dataclass(frozen=True, slots=True)
class Fp8Linear:
    """E4M3, one float32 scale per block of 128 x 128; `scale` is repeated per row, [N, ceil(K / 128)]: rows can be shared."""

    weight: Tensor
    scale: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x, fp8_dequantise(self.weight, self.scale, x.dtype))


def fp8_dequantise(weight: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    wide = scale.repeat_interleave(FP8_BLOCK, dim=-1)[:, : weight.shape[-1]]
    return (weight.float() * wide).to(dtype)


@dataclass(frozen=True, slots=True)
class Loader:
    """Reads the layers of a model from `stored`: plain ones in `dtype`, quantised ones as they are."""

    stored: Stored
    dtype: torch.dtype
    device: torch.device

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        return self._torch(self._stored(name)).to(self.device, dtype or self.dtype)

    def linear(self, name: str, rows: slice = slice(None), columns: slice = slice(None)) -> Linear:
        """The layer `name`, or this rank's rows or columns of it."""
        if f"{name}.weight_packed" in self.stored:
            return Int4Linear(int4_prepare(self._int4(name, rows, columns), self.dtype))
        weight = self._stored(f"{name}.weight")
        if f"{name}.weight_scale_inv" in self.stored:
            return Fp8Linear(*self._fp8(name, weight, rows, columns))
        return PlainLinear(self._torch(weight[rows, columns]).to(self.device, self.dtype).contiguous())

    def experts(self, name: str, parts: Sequence[str], numbers: range) -> Matrices:
        """`parts` ("gate", "up", "down") of the experts `numbers`: the rows of each one's parts together, stacked.

        FP8 experts become `dtype`: see `fp8_dequantise`.
        """
        names = [[f"{name}.{number}.{part}_proj" for part in parts] for number in numbers]
        if f"{names[0][0]}.weight_packed" in self.stored:
            return int4_stack(map(self._rows_of, names), len(names), self.dtype)
        return torch.stack([torch.cat([self._plain(part) for part in each]) for each in names])

    def _rows_of(self, names: Sequence[str]) -> Int4:
        parts = [self._int4(each, slice(None), slice(None)) for each in names]
        return Int4(torch.cat([p.packed for p in parts]), torch.cat([p.scale for p in parts]))

    def _plain(self, name: str) -> Tensor:
        layer = self.linear(name)
        if isinstance(layer, Fp8Linear):
            return fp8_dequantise(layer.weight, layer.scale, self.dtype)
        assert isinstance(layer, PlainLinear)
        return layer.weight

    def _int4(self, name: str, rows: slice, columns: slice) -> Int4:
        packed, scale = self._stored(f"{name}.weight_packed"), self._stored(f"{name}.weight_scale")
        inputs = packed.shape[1] * 8
        words, groups = _scaled(columns, 8, inputs), _scaled(columns, GROUP, inputs)
        return Int4(
            *(self._torch(part).to(self.device).contiguous() for part in (packed[rows, words], scale[rows, groups]))
        )

    def _fp8(self, name: str, weight: Any, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        scale = np.repeat(self._stored(f"{name}.weight_scale_inv"), FP8_BLOCK, axis=0)[: weight.shape[0]]
        cut = self._torch(weight[rows, columns]), self._torch(scale[rows, _scaled(columns, FP8_BLOCK, weight.shape[1])])
        return cut[0].to(self.device).contiguous(), cut[1].to(self.device).contiguous()

    def _stored(self, name: str) -> Any:
        try:
            return self.stored[name]
        except KeyError:
            raise CheckpointError(f"the checkpoint has no tensor {name}") from None

    def _torch(self, array: Any) -> Tensor:
        return torch_view(array)


_VIEWS: dict[str, tuple[Callable[[Any], Any], torch.dtype]] = {
    "bfloat16": (lambda a: a.view(np.uint16), torch.bfloat16),
    "float8_e4m3fn": (lambda a: a.view(np.uint8), torch.float8_e4m3fn),
}


def torch_view(array: Any) -> Tensor:
    """The array's memory as a tensor, without a copy where its strides allow. It is only read, also where it is a file's."""
    view, dtype = _VIEWS.get(array.dtype.name, (None, None))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array) if view is None else torch.from_numpy(view(array)).view(dtype)


def _scaled(columns: slice, by: int, total: int) -> slice:
    """The same columns of `total` counted in words or groups of `by`, the last of which may be shorter."""
    if columns.start is None:
        return slice(None)
    if columns.start % by or (columns.stop % by and columns.stop != total):
        raise CheckpointError(
            f"columns {columns.start} to {columns.stop} do not fall on groups of {by}: use fewer ranks"
        )
    return slice(columns.start // by, -(-columns.stop // by))
