"""How a linear layer's weight is stored: the contract of the schemes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from inference_backend.quant.arrays import Array

Params = Mapping[str, Array]
"""What a checkpoint stores for one weight, by the last part of the tensor's name: `weight`, `weight_scale_inv`, ..."""

TINY = 2.0**-126
"""Least scale: the smallest normal float32 and bfloat16. Groups of zeros have it, and nothing is ever divided by zero."""


@dataclass(frozen=True, slots=True)
class Param:
    """One stored tensor: its shape, and the kinds that it may have, safetensors' names, the one that is written first."""

    kinds: tuple[str, ...]
    shape: tuple[int, ...]


class Scheme(Protocol):
    """Stores a matrix [N, K] (out, in) as a few tensors and gives it back. No state, no randomness.

    All methods take NumPy arrays or torch tensors and answer in kind, bit for bit the same numbers. Nothing here has a
    gradient: training goes straight through, w + (dequantise(quantise(w)) - w).detach().
    """

    name: str

    def params(self, shape: tuple[int, int]) -> dict[str, Param]:
        """What is stored for a matrix of `shape`. Raises CheckpointError where the scheme cannot store it."""
        ...

    def quantise(self, w_nk: Array) -> dict[str, Array]:
        """Any float [N, K], all finite, to `params`. Raises CheckpointError where the scheme cannot store the shape."""
        ...

    def dequantise(self, params: Params, *, rounded: bool = False) -> Array:
        """float32 [N, K]: the exact products of codes and scales, or those rounded to bfloat16, as other engines have them."""
        ...

    def matmul(self, x: Array, params: Params) -> Array:
        """x [..., K] times the transposed weight, [..., N], computed in the type of x."""
        ...
