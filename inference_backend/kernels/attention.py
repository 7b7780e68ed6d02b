"""Causal attention over keys and values of every head: for long pieces of a prompt, whose latents are expanded."""

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.kernels.dispatch import backend


def causal_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """`q` [H, T, X] are the last T of the S positions of `k` [H, S, X] and `v` [H, S, V]; none sees a later one. [H, T, V]."""
    if backend(q.device) == "cpu":
        from inference_backend.kernels.cpu.attention import PART, TYPES, causal_attention_flash, causal_attention_short

        if q.dtype == torch.float32 and k.shape[1] <= PART:
            return causal_attention_short(q, k, v, scale)
        if q.dtype in TYPES:
            return causal_attention_flash(q, k, v, scale)
    return causal_attention_plain(q, k, v, scale)


def causal_attention_plain(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    start, mask = k.shape[1] - q.shape[1], None
    if start:
        mask = torch.ones(q.shape[1], k.shape[1], dtype=torch.bool, device=q.device).tril_(start)
    return functional.scaled_dot_product_attention(
        q[None], k[None], v[None], attn_mask=mask, is_causal=not start, scale=scale
    )[0]
