"""The few operations on arrays that schemes are written in, for NumPy and for torch: the same bits from both.

Kinds are safetensors' names: BF16, F8_E4M3, F32, I8, I32, U8. What both libraries spell alike (arithmetic, `reshape`, `clip`,
`round` to even, `abs`) is used as it is. Torch is imported by nobody here before a tensor of its own arrives.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import ml_dtypes
import numpy as np

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""

KINDS: dict[str, Any] = {
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F32": np.float32,
    "I8": np.int8,
    "I32": np.int32,
    "U8": np.uint8,
}


class Ops(Protocol):
    """What NumPy and torch spell differently."""

    def cast(self, x: Array, kind: str) -> Array:
        """Values converted, to the nearest, ties to even; no copy where the kind is the same."""
        ...

    def like(self, x: Array, other: Array) -> Array:
        """Values converted to the type of `other`."""
        ...

    def view(self, x: Array, kind: str) -> Array:
        """The same bytes along the last axis read as another kind."""
        ...

    def largest(self, x: Array, axes: tuple[int, ...]) -> Array:
        """Largest magnitude over `axes`."""
        ...

    def divide(self, x: Array, by: float) -> Array:
        """IEEE division: CUDA would multiply by a reciprocal, which is another number."""
        ...

    def pad(self, x: Array, shape: tuple[int, int]) -> Array:
        """Zeros behind the last rows and columns, up to `shape`; no copy where nothing is missing."""
        ...

    def interleave(self, even: Array, odd: Array) -> Array:
        """[N, K] and [N, K] to [N, 2 K]: even, odd, even, ..."""
        ...

    def whole_numbers(self, values: Sequence[int], like: Array) -> Array:
        """int32, where `like` lies."""
        ...


class _NumPy:
    def cast(self, x: Array, kind: str) -> Array:
        return x.astype(KINDS[kind], copy=False)

    def like(self, x: Array, other: Array) -> Array:
        return x.astype(other.dtype, copy=False)

    def view(self, x: Array, kind: str) -> Array:
        return np.ascontiguousarray(x).view(KINDS[kind])

    def largest(self, x: Array, axes: tuple[int, ...]) -> Array:
        return np.abs(x).max(axis=axes)

    def divide(self, x: Array, by: float) -> Array:
        return x / x.dtype.type(by)

    def pad(self, x: Array, shape: tuple[int, int]) -> Array:
        missing = [(0, want - have) for want, have in zip(shape, x.shape, strict=True)]
        return np.pad(x, missing) if any(after for _, after in missing) else x

    def interleave(self, even: Array, odd: Array) -> Array:
        return np.stack([even, odd], axis=-1).reshape(len(even), -1)

    def whole_numbers(self, values: Sequence[int], like: Array) -> Array:
        return np.asarray(values, np.int32)


class _Torch:
    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._kinds = {
            "BF16": torch.bfloat16,
            "F8_E4M3": torch.float8_e4m3fn,
            "F32": torch.float32,
            "I8": torch.int8,
            "I32": torch.int32,
            "U8": torch.uint8,
        }

    def cast(self, x: Array, kind: str) -> Array:
        return x.to(self._kinds[kind])

    def like(self, x: Array, other: Array) -> Array:
        return x.to(other.dtype)

    def view(self, x: Array, kind: str) -> Array:
        return x.contiguous().view(self._kinds[kind])

    def largest(self, x: Array, axes: tuple[int, ...]) -> Array:
        return x.abs().amax(axes)

    def divide(self, x: Array, by: float) -> Array:
        return x / self._torch.full((), by, dtype=x.dtype, device=x.device)

    def pad(self, x: Array, shape: tuple[int, int]) -> Array:
        rows, columns = (want - have for want, have in zip(shape, x.shape, strict=True))
        return self._torch.nn.functional.pad(x, (0, columns, 0, rows)) if rows or columns else x

    def interleave(self, even: Array, odd: Array) -> Array:
        return self._torch.stack([even, odd], dim=-1).reshape(len(even), -1)

    def whole_numbers(self, values: Sequence[int], like: Array) -> Array:
        return self._torch.tensor(list(values), dtype=self._torch.int32, device=like.device)


NUMPY: Ops = _NumPy()


def ops_of(x: Array) -> Ops:
    """The library that `x` belongs to."""
    return NUMPY if isinstance(x, np.ndarray) else _Torch()
