"""MuonClip: Muon for matrices, AdamW for the rest, and QK-Clip after each step (Kimi K2, arXiv 2507.20534, section 2.1).

optimiser = MuonClip(matrices, lr=2e-4)                      # a plain torch.optim class; MHA and MLA alike
optimiser.register_attention_params({"layers.0.Wq_c": ..., "layers.0.Wk_c": ..., "layers.0.Wq_r": ...})
optimiser.step(attention_max_logits={"layers.0": s_max})     # [heads], the largest logits of the forward pass
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from inference_backend.training.muon import STEPS, orthogonalise, scale_of

POWERS = {"q_c": 0.5, "k_c": 0.5, "q_r": 1.0, "k_r": 0.0}
"""Power of gamma that a part of the weights is scaled by: content parts of query and key share the factor; the rotary key is
shared by all heads and stays, so that the rotary query takes all of it."""


class MuonClip(torch.optim.Optimizer):
    """`params` as torch.optim takes them; matrices (and stacks of matrices) get Muon, vectors AdamW, and groups with
    `"use_muon": False` AdamW alone: embeddings and the output head belong there.

    `betas` and `eps` are AdamW's. Logits above `qk_clip_threshold` (tau) are clipped where attention weights are registered.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 2e-4,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        newton_schulz_steps: int = STEPS,
        newton_schulz_dtype: torch.dtype = torch.bfloat16,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        qk_clip_threshold: float = 100.0,
    ) -> None:
        if lr < 0 or not 0 <= momentum < 1 or weight_decay < 0 or qk_clip_threshold <= 0:
            raise ValueError("MuonClip needs lr >= 0, 0 <= momentum < 1, weight_decay >= 0 and qk_clip_threshold > 0")
        defaults = {
            "lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, "betas": betas, "eps": eps,
            "newton_schulz_steps": newton_schulz_steps, "use_muon": True,
        }  # fmt: skip
        super().__init__(params, defaults)
        self._dtype = newton_schulz_dtype
        self.qk_clip_threshold = qk_clip_threshold
        self._attention: dict[str, tuple[Tensor, float]] = {}
        self.spread: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor] = lambda work, stack: work(stack)
        """Makes a stack of matrices orthogonal by `work`; several processes may do a part of it each."""

    def register_attention_params(self, params: Mapping[str, Tensor]) -> None:
        """Weights that make queries and keys, by names LAYER.PART with PART one of Wq_c, Wk_c, Wq_r, Wk_r (or q_c, ...).

        Each is [H, rows, in], or [H * rows, in] head by head; views into a parameter are welcome, as where content and rotary
        rows of a head lie in one matrix. Without a rotary part a plain attention has Wq_c and Wk_c alone. Raises ValueError.
        """
        for name, weight in params.items():
            part = name.rpartition(".")[2].lower().removeprefix("w")
            if part not in POWERS:
                raise ValueError(f"{name!r} ends in none of Wq_c, Wk_c, Wq_r, Wk_r")
            self._attention[name] = (weight.detach(), POWERS[part])

    @torch.no_grad()
    def step(
        self,
        closure: Callable[[], float] | None = None,
        *,
        attention_max_logits: Mapping[str, Tensor] | None = None,
    ) -> float | None:
        """One update of all parameters that have a gradient.

        `attention_max_logits` has for each layer (or each registered name) the largest logit of every head, [H], as the forward
        pass saw it after scaling and before the softmax.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            held = [p for p in group["params"] if p.grad is not None]
            self._muon(group, [p for p in held if group["use_muon"] and p.ndim > 1])
            self._adamw(group, [p for p in held if not group["use_muon"] or p.ndim < 2])
        self.clip(attention_max_logits or {})
        return loss

    @torch.no_grad()
    def clip(self, attention_max_logits: Mapping[str, Tensor]) -> None:
        """QK-Clip alone: gamma = min(1, tau / S_max) per head, spread over the head's weights by `POWERS`."""
        for name, (weight, power) in self._attention.items():
            seen = attention_max_logits.get(name, attention_max_logits.get(name.rpartition(".")[0]))
            if seen is None or not power:
                continue
            top = seen.to(weight.device, torch.float64)
            gamma = (self.qk_clip_threshold / top.clamp(min=self.qk_clip_threshold)) ** power
            if bool((gamma < 1).any()):
                heads = weight.unflatten(0, (len(gamma), -1)) if weight.ndim == 2 else weight
                heads.mul_(gamma.to(weight.dtype).view(-1, *(1,) * (heads.ndim - 1)))

    def prepare(self) -> None:
        """Makes the state of all parameters, zero, where the first step has not made it yet: to be filled from a file."""
        for group in self.param_groups:
            for param in group["params"]:
                if not self.state[param]:
                    self._begin(group, param)

    def _begin(self, group: dict[str, Any], param: Tensor) -> None:
        state = self.state[param]
        if group["use_muon"] and param.ndim > 1:
            state["momentum"] = torch.zeros_like(param)
        else:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(param), torch.zeros_like(param)

    def _muon(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Matrices of one shape are made orthogonal together."""
        alike: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for param in params:
            if not self.state[param]:
                self._begin(group, param)
            grad, momentum = param.grad, self.state[param]["momentum"]
            assert grad is not None
            momentum.mul_(group["momentum"]).add_(grad)
            update = grad.add(momentum, alpha=group["momentum"]) if group["nesterov"] else momentum
            alike[param.shape[-2], param.shape[-1]].append(
                (param, update.flatten(0, -3) if param.ndim > 2 else update[None])
            )
        for (rows, columns), pairs in alike.items():
            stacked = torch.cat([update for _, update in pairs]) if len(pairs) > 1 else pairs[0][1]
            work = partial(orthogonalise, steps=group["newton_schulz_steps"], dtype=self._dtype)
            made = self.spread(work, stacked)
            pieces = made.split([len(update) for _, update in pairs])
            for (param, _), piece in zip(pairs, pieces, strict=True):
                param.mul_(1 - group["lr"] * group["weight_decay"])
                param.add_(piece.reshape(param.shape).to(param.dtype), alpha=-group["lr"] * scale_of(rows, columns))

    def _adamw(self, group: dict[str, Any], params: list[Tensor]) -> None:
        """Vectors are not decayed: a norm's weight has no reason to shrink."""
        (beta1, beta2), lr = group["betas"], group["lr"]
        for param in params:
            state, grad = self.state[param], param.grad
            assert grad is not None
            if not state:
                self._begin(group, param)
            state["step"] += 1
            state["exp_avg"].lerp_(grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            count = float(state["step"])
            denominator = (state["exp_avg_sq"] / (1 - beta2**count)).sqrt_().add_(group["eps"])
            if param.ndim > 1:
                param.mul_(1 - lr * group["weight_decay"])
            param.addcdiv_(state["exp_avg"], denominator, value=-lr / (1 - beta1**count))
