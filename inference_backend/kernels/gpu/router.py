"""The router's scores, choice and weights in one launch, one token per program."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kernels.gpu.launch import on_device, power


@triton.jit
def _route(
    logits, bias, experts, weights, count, scale,
    TOP: tl.constexpr, NORMALISE: tl.constexpr, COUNT: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    expert = tl.arange(0, COUNT)
    slot = tl.arange(0, SLOTS)
    inside = expert < count
    score = 1.0 / (1.0 + tl.exp(-tl.load(logits + token * count + expert, mask=inside, other=0.0)))
    left = tl.where(inside, score + tl.load(bias + expert, mask=inside, other=0.0), float("-inf"))
    chosen = tl.zeros([SLOTS], tl.int32)
    weight = tl.zeros([SLOTS], tl.float32)
    for k in tl.static_range(TOP):
        best = tl.argmax(left, 0, tie_break_left=True)
        chosen = tl.where(slot == k, best, chosen)
        weight = tl.where(slot == k, tl.sum(tl.where(expert == best, score, 0.0)), weight)
        left = tl.where(expert == best, float("-inf"), left)
    if NORMALISE:
        weight = weight / (tl.sum(weight) + 1e-20)
    tl.store(experts + token * TOP + slot, chosen.to(tl.int64), mask=slot < TOP)
    tl.store(weights + token * TOP + slot, weight * scale, mask=slot < TOP)


def route_triton(logits: Tensor, bias: Tensor, top: int, normalise: bool, scale: float) -> tuple[Tensor, Tensor]:
    tokens, count = logits.shape
    experts = torch.empty(tokens, top, dtype=torch.int64, device=logits.device)
    weights = torch.empty(tokens, top, dtype=torch.float32, device=logits.device)
    if tokens:
        with on_device(logits):
            _route[(tokens,)](
                logits.contiguous(), bias, experts, weights, count, scale,
                TOP=top, NORMALISE=normalise, COUNT=power(count), SLOTS=power(top, 1), num_warps=1,
            )  # fmt: skip
    return experts, weights
