"""Random inputs of the model's operations, and how near a kernel must be to what is computed in float64."""

import torch
from torch import Tensor

from inference_backend.kernels.int4 import Int4

CLOSE = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 2e-2}
"""Greatest distance, relative to the norm of the whole."""


def near(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    assert found.shape == wanted.shape
    wanted = wanted.double().cpu()
    distance = float((found.double().cpu() - wanted).norm() / wanted.norm().clamp(min=1e-30))
    assert distance <= tolerance, f"{distance:.2g} is over {tolerance:.2g}"


def random_int4(*shape: int, seed: int = 0) -> Int4:
    """`shape` [(E,) N, K]; values of about 1 / sqrt(K)."""
    some = torch.Generator().manual_seed(seed)
    packed = torch.randint(-(2**31), 2**31, (*shape[:-1], shape[-1] // 8), generator=some).int()
    scale = (torch.rand(*shape[:-1], shape[-1] // 32, generator=some) + 0.5) / (4.6 * shape[-1] ** 0.5)
    return Int4(packed, scale.bfloat16())


def values(w: Int4) -> Tensor:
    """The weights in float64, from the format's words: not by our own dequantisation."""
    codes = torch.stack([(w.packed.long() >> 4 * i) & 15 for i in range(8)], -1).flatten(-2).double() - 8
    return codes * w.scale.double().repeat_interleave(32, -1)


def exact_moe(x: Tensor, experts: Tensor, weights: Tensor, w13: Tensor, w2: Tensor, first: int = 0) -> Tensor:
    """Token after token, in float64."""
    out = torch.zeros(x.shape, dtype=torch.float64)
    for token, row in enumerate(x.double()):
        for expert, weight in zip(experts[token].tolist(), weights[token].double(), strict=True):
            if first <= expert < first + len(w13):
                gate, up = (w13[expert - first].double() @ row).chunk(2)
                out[token] += weight * (w2[expert - first].double() @ (gate * gate.sigmoid() * up))
    return out


ROUTINGS = ("random", "one expert has all", "most are empty")


def routing(kind: str, tokens: int, count: int, top: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Experts [T, top], different for a token unless one has all, and weights."""
    some = torch.Generator().manual_seed(seed)
    if kind == "one expert has all":
        experts = torch.full((tokens, top), count - 1)
    else:
        among = count if kind == "random" else top
        experts = torch.stack([torch.randperm(among, generator=some)[:top] for _ in range(tokens)])
    return experts, torch.rand(tokens, top, generator=some) + 0.1
