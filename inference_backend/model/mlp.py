"""Dense MLPs and mixtures of experts, one rank's share of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.config import ModelConfig
from inference_backend.kernels.int4 import Int4
from inference_backend.kernels.moe import moe
from inference_backend.model.parallel import Ranks
from inference_backend.model.weights import Linear, Loader


@dataclass(frozen=True, slots=True)
class Mlp:
    """SwiGLU: down(silu(gate x) * up x), over this rank's channels."""

    gate: Linear
    up: Linear
    down: Linear

    @classmethod
    def load(cls, loader: Loader, name: str, channels: slice) -> "Mlp":
        return cls(
            loader.linear(f"{name}.gate_proj", channels),
            loader.linear(f"{name}.up_proj", channels),
            loader.linear(f"{name}.down_proj", columns=channels),
        )

    def __call__(self, x_td: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x_td)) * self.up(x_td))


@dataclass(frozen=True, slots=True)
class Dense:
    mlp: Mlp
    ranks: Ranks

    def __call__(self, x_td: Tensor) -> Tensor:
        return self.ranks.sum(self.mlp(x_td))


@dataclass(frozen=True, slots=True)
class Moe:
    """The shared expert by channels, the routed ones by number; the router in float32, the same on every rank."""

    config: ModelConfig
    ranks: Ranks
    router: Tensor  # [E, D] float32
    bias: Tensor  # [E] float32, for the choice alone
    shared: Mlp | None
    w13: Tensor | Int4
    w2: Tensor | Int4
    first: int  # number of the first expert held here

    @classmethod
    def load(cls, loader: Loader, config: ModelConfig, name: str, ranks: Ranks) -> "Moe":
        numbers = ranks.share(config.n_routed_experts)
        held = range(numbers.start, numbers.stop)
        gate, up, down = (loader.experts(f"{name}.experts", part, held) for part in ("gate", "up", "down"))
        shared = None
        if config.n_shared_experts:
            channels = ranks.share(config.moe_intermediate_size * config.n_shared_experts)
            shared = Mlp.load(loader, f"{name}.shared_experts", channels)
        return cls(
            config,
            ranks,
            loader.tensor(f"{name}.gate.weight", torch.float32),
            loader.tensor(f"{name}.gate.e_score_correction_bias", torch.float32),
            shared,
            _stacked(gate, up),
            down,
            numbers.start,
        )

    def __call__(self, x_td: Tensor) -> Tensor:
        """What the layer adds, float32 [T, D]."""
        experts_tk, weights_tk = route(functional.linear(x_td.float(), self.router), self.bias, self.config)
        out_td = moe(x_td, experts_tk, weights_tk, self.w13, self.w2, first=self.first)
        if self.shared is not None:
            out_td = out_td + self.shared(x_td).float()
        return self.ranks.sum(out_td)


def route(logits_te: Tensor, bias_e: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """As `reference.route`: experts [T, K] int64 and their weights [T, K] float32; equal scores go to the lower index."""
    score_te = logits_te.sigmoid()
    choice_te = score_te + bias_e
    if config.n_group > 1:
        grouped = choice_te.unflatten(-1, (config.n_group, -1))
        best_two = grouped.topk(2, dim=-1).values.sum(-1)
        kept = best_two.argsort(dim=-1, descending=True, stable=True)[:, : config.topk_group]
        mask = torch.zeros_like(best_two, dtype=torch.bool).scatter_(-1, kept, True)
        choice_te = grouped.masked_fill(~mask[..., None], float("-inf")).flatten(-2)
    experts_tk = choice_te.argsort(dim=-1, descending=True, stable=True)[:, : config.num_experts_per_tok]
    weights_tk = score_te.gather(-1, experts_tk)
    if config.norm_topk_prob:
        weights_tk = weights_tk / (weights_tk.sum(-1, keepdim=True) + 1e-20)
    return experts_tk, weights_tk * config.routed_scaling_factor


def _stacked(gate: Tensor | Int4, up: Tensor | Int4) -> Tensor | Int4:
    if isinstance(gate, Int4) and isinstance(up, Int4):
        return Int4(torch.cat([gate.packed, up.packed], dim=1), torch.cat([gate.scale, up.scale], dim=1))
    assert isinstance(gate, Tensor)
    assert isinstance(up, Tensor)
    return torch.cat([gate, up], dim=1)
