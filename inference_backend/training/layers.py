"""The pieces of the trainable model. Parameters have the checkpoint's names; experts of a layer lie in two stacks.

Axes as in reference.py: T tokens, D hidden_size, H heads, N content and R rotary channels, V value channels, C latent, Q query
latent, E experts, K experts per token, I width of an MLP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from inference_backend.config import ModelConfig
from inference_backend.kernels.router import route_plain
from inference_backend.training.attention import Spans, attend, max_logits
from inference_backend.training.experts import routed
from inference_backend.training.quantised import as_stored


@dataclass(frozen=True, slots=True)
class Precision:
    """What the forward pass computes in, and whether on the weights themselves or on what the checkpoint will hold of them."""

    dtype: torch.dtype = torch.float32
    stored: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the tokens of a step lie, and how far their rotary channels are turned."""

    spans: Spans
    cos: Tensor  # [P + B L, R]: the same for both of a pair
    sin: Tensor
    above: float  # logits below need not be measured exactly


class Weight(nn.Module):
    """One weight of the checkpoint: `weight`, float32, stored by `scheme`."""

    def __init__(self, shape: tuple[int, ...], scheme: str = "bf16", std: float | None = None) -> None:
        super().__init__()
        self.scheme, self.std = scheme, std
        self.weight = nn.Parameter(torch.ones(shape) if std is None else torch.zeros(shape))

    def forward(self, precision: Precision) -> Tensor:
        return seen_as(self.weight, self.scheme, precision)


def seen_as(weight: Tensor, scheme: str, precision: Precision) -> Tensor:
    if precision.stored and (precision.dtype != torch.bfloat16 or scheme != "bf16"):
        weight = as_stored(weight, scheme)
    return weight.to(precision.dtype)


class Norm(Weight):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__((size,))
        self.eps = eps

    def apply_to(self, x: Tensor, precision: Precision) -> Tensor:
        return _RmsNorm.apply(x, self(precision), self.eps)


class _RmsNorm(torch.autograd.Function):
    """x [T, D]; sums in float32, all else in the type of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        inverse = torch.rsqrt(norm.square() / x.shape[-1] + eps).to(x.dtype)
        normed = x * inverse
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        normed, inverse, weight = ctx.saved_tensors
        product = grads[0] * normed
        d_weight = product.new_ones(1, len(product)) @ product
        dot = (product @ weight[:, None]) / normed.shape[-1]
        dx = (grads[0] * weight).addcmul_(normed, dot, value=-1).mul_(inverse)
        return dx, d_weight[0], None


class Attention(nn.Module):
    """MLA with keys and values expanded per head: what is trained is what the absorbed form serves."""

    def __init__(self, config: ModelConfig, make: "Maker", scale: float) -> None:
        super().__init__()
        self.config, self.scale = config, scale
        heads, d = config.num_attention_heads, config.hidden_size
        self.q_a_proj = make("q_a_proj", config.q_lora_rank, d)
        self.q_a_layernorm = Norm(config.q_lora_rank, config.rms_norm_eps)
        self.q_b_proj = make("q_b_proj", heads * config.qk_head_dim, config.q_lora_rank)
        self.kv_a_proj_with_mqa = make("kv_a_proj_with_mqa", config.latent_dim, d)
        self.kv_a_layernorm = Norm(config.kv_lora_rank, config.rms_norm_eps)
        self.kv_b_proj = make("kv_b_proj", heads * (config.qk_nope_head_dim + config.v_head_dim), config.kv_lora_rank)
        self.o_proj = make("o_proj", d, heads * config.v_head_dim)
        self.top: Tensor | None = None
        """S_max of the last forward pass, [H], where it was asked for."""

    def forward(self, x: Tensor, shape: Shape, precision: Precision) -> Tensor:
        cfg, heads = self.config, self.config.num_attention_heads
        kv_a, q_b = self.kv_a_proj_with_mqa(precision), self.q_b_proj(precision).unflatten(0, (heads, -1))
        turned_kv_a = quarter_turn(kv_a[cfg.kv_lora_rank :])
        parts = [cfg.q_lora_rank, cfg.kv_lora_rank, cfg.qk_rope_head_dim, cfg.qk_rope_head_dim]
        q_a, c, k_r, k_t = (x @ torch.cat([self.q_a_proj(precision), kv_a, turned_kv_a]).T).split(parts, dim=-1)
        q_a = self.q_a_layernorm.apply_to(q_a, precision)
        turned_q_b = quarter_turn(q_b[:, cfg.qk_nope_head_dim :].flatten(0, 1))
        q, q_t = q_a @ self.q_b_proj(precision).T, q_a @ turned_q_b.T
        kv = self.kv_a_layernorm.apply_to(c, precision) @ self.kv_b_proj(precision).T
        q_n, q_r = q.unflatten(-1, (heads, -1)).split([cfg.qk_nope_head_dim, cfg.qk_rope_head_dim], dim=-1)
        k_n, v = kv.unflatten(-1, (heads, -1)).split([cfg.qk_nope_head_dim, cfg.v_head_dim], dim=-1)
        q_r = torch.addcmul(q_r * shape.cos[:, None], q_t.unflatten(-1, (heads, -1)), shape.sin[:, None])
        k_r = torch.addcmul(k_r * shape.cos, k_t, shape.sin)[:, None].expand(-1, heads, -1)
        q, k = (torch.cat([x.transpose(0, 1) for x in parts], dim=-1) for parts in ((q_n, q_r), (k_n, k_r)))
        self.top = max_logits(q, k, self.scale, shape.spans, shape.above)
        out = attend(q, k, v.transpose(0, 1), self.scale, shape.spans)
        return out.transpose(0, 1).flatten(1) @ self.o_proj(precision).T

    def clipped(self) -> dict[str, Tensor]:
        """The weights that QK-Clip scales, per head, as views of the parameters."""
        cfg, heads = self.config, self.config.num_attention_heads
        q = self.q_b_proj.weight.detach().unflatten(0, (heads, -1))
        kv = self.kv_b_proj.weight.detach().unflatten(0, (heads, -1))
        n = cfg.qk_nope_head_dim
        return {"Wq_c": q[:, :n], "Wq_r": q[:, n:], "Wk_c": kv[:, :n]}


def quarter_turn(rows: Tensor) -> Tensor:
    """Weights [.. R, in] of pairs (a, b) to those of (-b, a): rotated by an angle, a pair is cos times the one plus sin times
    the other. So pairs never need to be taken apart in activations, which are many times larger."""
    a, b = rows.unflatten(0, (-1, 2)).unbind(1)
    return torch.stack([-b, a], dim=1).flatten(0, 1)


class Mlp(nn.Module):
    """SwiGLU."""

    def __init__(self, config: ModelConfig, inner: int, make: "Maker") -> None:
        super().__init__()
        self.gate_proj = make("gate_proj", inner, config.hidden_size)
        self.up_proj = make("up_proj", inner, config.hidden_size)
        self.down_proj = make("down_proj", config.hidden_size, inner)

    def forward(self, x: Tensor, precision: Precision) -> Tensor:
        gate, up = x @ self.gate_proj(precision).T, x @ self.up_proj(precision).T
        return (functional.silu(gate) * up) @ self.down_proj(precision).T


class Router(Weight):
    """Scores in float32, whatever the rest is computed in; the bias is no parameter: balance.py moves it."""

    def __init__(self, config: ModelConfig, std: float) -> None:
        super().__init__((config.n_routed_experts, config.hidden_size), std=std)
        self.config = config
        self.register_buffer("e_score_correction_bias", torch.zeros(config.n_routed_experts))
        self.e_score_correction_bias: Tensor

    def choose(self, x: Tensor, precision: Precision) -> tuple[Tensor, Tensor, Tensor]:
        """x [T, D] to experts [T, K], their weights [T, K] and all scores [T, E]."""
        wide = torch.promote_types(precision.dtype, torch.float32)
        weight = seen_as(self.weight, self.scheme, Precision(wide, precision.stored))
        logits = x.to(wide) @ weight.T
        cfg = self.config
        bias = self.e_score_correction_bias.to(wide)
        experts, weights = route_plain(
            logits, bias, cfg.num_experts_per_tok, groups=cfg.n_group, kept_groups=cfg.topk_group,
            normalise=cfg.norm_topk_prob, scale=cfg.routed_scaling_factor,
        )  # fmt: skip
        return experts, weights, logits.sigmoid()


class Experts(nn.Module):
    def __init__(self, config: ModelConfig, scheme: str, std: float, std_down: float) -> None:
        super().__init__()
        self.scheme, self.std, self.std_down = scheme, std, std_down
        count, inner, d = config.n_routed_experts, config.moe_intermediate_size, config.hidden_size
        self.gate_up = nn.Parameter(torch.zeros(count, 2, inner, d))
        self.down = nn.Parameter(torch.zeros(count, d, inner))

    def forward(self, x: Tensor, experts: Tensor, weights: Tensor, precision: Precision) -> Tensor:
        gate_up = seen_as(self.gate_up, self.scheme, precision).flatten(1, 2)
        return routed(x, experts, weights, gate_up, seen_as(self.down, self.scheme, precision))


class Moe(nn.Module):
    def __init__(self, config: ModelConfig, make: "Maker", scheme: str, std: float, std_down: float) -> None:
        super().__init__()
        self.gate = Router(config, std)
        inner = config.n_shared_experts * config.moe_intermediate_size
        self.shared_experts = Mlp(config, inner, make.within("shared_experts")) if inner else None
        self.experts = Experts(config, scheme, std, std_down)
        self.chosen: tuple[Tensor, Tensor] | None = None
        """Experts [T, K] and scores [T, E] of the last forward pass."""

    def forward(self, x: Tensor, precision: Precision) -> Tensor:
        experts, weights, scores = self.gate.choose(x, precision)
        self.chosen = experts, scores
        out = self.experts(x, experts, weights, precision)
        return out if self.shared_experts is None else out + self.shared_experts(x, precision)


Make: TypeAlias = Callable[..., Weight]


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the linear weights of one module: the scheme by the config, the spread of first values by the inputs."""

    config: ModelConfig
    name: str

    def within(self, part: str) -> "Maker":
        return Maker(self.config, f"{self.name}.{part}")

    def __call__(self, part: str, rows: int, columns: int) -> Weight:
        """Weights whose sum joins the residual stream start smaller, the more of them there are (GPT-2)."""
        joins = part in ("o_proj", "down_proj")
        std = columns**-0.5 * ((2 * self.config.num_hidden_layers) ** -0.5 if joins else 1.0)
        return Weight((rows, columns), self.config.quantisation.scheme_of(f"{self.name}.{part}"), std)
