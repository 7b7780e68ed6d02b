"""Dense MLPs and mixtures of experts, one rank's share of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.config import ModelConfig
from inference_backend.kernels.moe import Matrices, moe
from inference_backend.kernels.router import route
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
    w13: Matrices
    w2: Matrices
    first: int  # number of the first expert held here

    @classmethod
    def load(cls, loader: Loader, config: ModelConfig, name: str, ranks: Ranks) -> "Moe":
        numbers = ranks.share(config.n_routed_experts)
        held = range(numbers.start, numbers.stop)
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
            loader.experts(f"{name}.experts", ("gate", "up"), held),
            loader.experts(f"{name}.experts", ("down",), held),
            numbers.start,
        )

    def __call__(self, x_td: Tensor) -> Tensor:
        """What the layer adds, float32 [T, D]."""
        cfg = self.config
        experts_tk, weights_tk = route(
            functional.linear(x_td.float(), self.router),
            self.bias,
            cfg.num_experts_per_tok,
            groups=cfg.n_group,
            kept_groups=cfg.topk_group,
            normalise=cfg.norm_topk_prob,
            scale=cfg.routed_scaling_factor,
        )
        out_td = moe(x_td, experts_tk, weights_tk, self.w13, self.w2, first=self.first)
        if self.shared is not None:
            out_td = out_td + self.shared(x_td).float()
        return self.ranks.sum(out_td)
