"""Quantisation-aware training: weights as the checkpoint will store them, by the scheme that serves them.

The forward pass sees dequantise(quantise(w)), exactly what a reader of the file sees; the gradient goes straight through
(Bengio et al., arXiv 1308.3432).
"""

from typing import Any

import torch
from torch import Tensor

from inference_backend.quant import SCHEMES


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scheme: str) -> Tensor:
        rows = weight.reshape(-1, weight.shape[-1])
        stored = SCHEMES[scheme].quantise(rows)
        return SCHEMES[scheme].dequantise(stored).view(weight.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0], None


def as_stored(weight: Tensor, scheme: str) -> Tensor:
    """`weight` [..., N, K] or [K] as a file of `scheme` gives it back, float32."""
    made: Tensor = _StraightThrough.apply(weight, scheme)
    return made
