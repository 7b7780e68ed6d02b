"""Muon: momentum whose update is made orthogonal (Jordan et al. 2024; scaled as in Moonlight, arXiv 2502.16982).

A matrix's update O = U V^T has all singular values near one, so every direction of the matrix learns at the same pace. It is
computed by a Newton-Schulz iteration, matrix products alone: no decomposition.
"""

import torch
from torch import Tensor

COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the quintic a X + b (X X^T) X + c (X X^T)^2 X: steepest at zero, at the price of singular values of about 0.7 to 1.2."""
STEPS = 5
BAND = 0.68, 1.14
"""Where the iteration brings singular values of at least a thousandth of the norm, in exact arithmetic."""
RMS = 0.2
"""What the root mean square of an update is made, AdamW's usual one: both can share a learning rate."""


def orthogonalise(update: Tensor, *, steps: int = STEPS, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Any number of matrices [..., N, M] to the nearest orthogonal ones, about: [..., N, M] in `dtype`. Zero stays zero."""
    a, b, c = COEFFICIENTS
    x = update / (torch.linalg.matrix_norm(update, keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = (x.mT if tall else x).to(dtype).contiguous()
    shape = x.shape
    x = x.reshape(-1, *shape[-2:])
    for _ in range(steps):
        gram = x @ x.mT
        factor = (gram @ gram).mul_(c).add_(gram, alpha=b)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        x = factor @ x
    x = x.view(shape)
    return x.mT if tall else x


def scale_of(rows: int, columns: int) -> float:
    """What an orthogonal update is multiplied by: 0.2 sqrt(max(N, M)), so that its entries have a root mean square of 0.2."""
    return RMS * float(max(rows, columns)) ** 0.5
