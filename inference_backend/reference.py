"""All of Kimi K2 in one readable file of NumPy: the oracle of every faster path, and the runner of small models.

A decoder of RMSNorm -> MLA -> RMSNorm -> MLP blocks (DeepSeek-V3, arXiv 2412.19437; Kimi K2, arXiv 2507.20534). The last
letters of an array's name are its axes:

    T tokens of this step        D hidden_size            C kv_lora_rank            E routed experts
    S tokens cached, new ones in H heads                  R qk_rope_head_dim        K experts per token
    L C + R, what is cached      N qk_nope_head_dim       V v_head_dim              I width of an MLP
    Q q_lora_rank                W vocabulary

Linear weights are stored as [out, in], as in the checkpoint. Everything is computed in the type of `dtype` (float32 as a
runner, float64 as an oracle).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference_backend.config import ModelConfig, Yarn

Array: TypeAlias = NDArray[Any]
Weights = Mapping[str, Array]
"""Tensors by the checkpoint's names without its prefix, dequantised: `model.layers.3.self_attn.q_a_proj.weight`."""


class Cache(Protocol):
    """The latents of one sequence."""

    def extend(self, layer: int, latent_tl: Array) -> Array:
        """Appends what this step adds to `layer` and returns all of it, [S, L]."""
        ...

    @property
    def length(self) -> int:
        """Tokens cached by the steps before this one."""
        ...


@dataclass(frozen=True, slots=True)
class Segment:
    """The next tokens of one sequence, and for how many of the last ones logits are wanted."""

    tokens: Sequence[int]
    cache: Cache
    logits: int = 1


class LatentCache:
    """One sequence in one growing array per layer. `length` follows the last layer, so that it is constant within a step."""

    def __init__(self, config: ModelConfig, dtype: Any = np.float32) -> None:
        self._layers = [np.zeros((64, config.latent_dim), dtype) for _ in range(config.num_hidden_layers)]
        self.length = 0

    def extend(self, layer: int, latent_tl: Array) -> Array:
        end = self.length + len(latent_tl)
        held = self._layers[layer]
        if end > len(held):
            held = self._layers[layer] = np.concatenate(
                [held, np.zeros((max(end, 2 * len(held)) - len(held), held.shape[1]), held.dtype)]
            )
        held[self.length : end] = latent_tl
        if layer == len(self._layers) - 1:
            self.length = end
        return held[:end]

    def truncate(self, length: int) -> None:
        """Forgets all tokens from `length` on."""
        self.length = min(self.length, length)


class Reference:
    """A model ready to run: `forward` is the whole of it.

    `absorbed` picks how attention reads the cache: absorbed folds kv_b_proj into the query and the output and never expands keys
    and values (one vector of L per token); naive expands them per head, as the equations of the paper do. Both are equal.
    """

    def __init__(
        self, config: ModelConfig, weights: Weights, *, dtype: Any = np.float32, absorbed: bool = True
    ) -> None:
        self.config, self.weights, self.dtype, self.absorbed = config, weights, np.dtype(dtype), absorbed
        self._inv_freq = yarn_frequencies(config).astype(np.float64)
        self._rope_scale, self._softmax_scale = attention_scales(config)

    def new_cache(self) -> LatentCache:
        return LatentCache(self.config, self.dtype)

    def forward(self, segments: Sequence[Segment]) -> Array:
        """One step over any number of sequences: extends their caches, returns logits [sum of `logits`, W].

        Prefill, decode, chunked prefill and the check of drafted tokens are all this call with segments of other lengths.
        """
        tokens = np.concatenate([np.asarray(each.tokens, np.int64) for each in segments])
        starts = np.concatenate([each.cache.length + np.arange(len(each.tokens)) for each in segments])
        cos, sin = rotations(starts, self._inv_freq, self._rope_scale, self.dtype)
        x_td = self._weight("model.embed_tokens.weight")[tokens].astype(self.dtype)
        for layer in range(self.config.num_hidden_layers):
            name = f"model.layers.{layer}"
            normed_td = self._norm(x_td, f"{name}.input_layernorm")
            x_td = x_td + self._attention(normed_td, f"{name}.self_attn", layer, segments, cos, sin)
            normed_td = self._norm(x_td, f"{name}.post_attention_layernorm")
            x_td = x_td + (self._moe if self.config.is_moe(layer) else self._mlp)(normed_td, f"{name}.mlp")
        ends = np.cumsum([len(each.tokens) for each in segments])
        wanted = np.concatenate([np.arange(end - each.logits, end) for end, each in zip(ends, segments, strict=True)])
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self._linear(self._norm(x_td[wanted], "model.norm"), head)

    def _attention(
        self, x_td: Array, name: str, layer: int, segments: Sequence[Segment], cos: Array, sin: Array
    ) -> Array:
        """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1) over each sequence's own cache."""
        cfg = self.config
        heads, rank = cfg.num_attention_heads, cfg.kv_lora_rank
        q_tq = self._norm(self._linear(x_td, f"{name}.q_a_proj"), f"{name}.q_a_layernorm")
        q_thx = self._linear(q_tq, f"{name}.q_b_proj").reshape(len(x_td), heads, cfg.qk_head_dim)
        q_thn, q_thr = q_thx[..., : cfg.qk_nope_head_dim], q_thx[..., cfg.qk_nope_head_dim :]
        q_thr = rope(q_thr, cos[:, None], sin[:, None])
        latent_tl = self._linear(x_td, f"{name}.kv_a_proj_with_mqa")
        c_tc = self._norm(latent_tl[:, :rank], f"{name}.kv_a_layernorm")
        latent_tl = np.concatenate([c_tc, rope(latent_tl[:, rank:], cos, sin)], axis=1)

        kv_b_hxc = self._weight(f"{name}.kv_b_proj.weight").reshape(heads, -1, rank)
        w_k_hnc, w_v_hvc = kv_b_hxc[:, : cfg.qk_nope_head_dim], kv_b_hxc[:, cfg.qk_nope_head_dim :]
        out_thv = np.empty((len(x_td), heads, cfg.v_head_dim), self.dtype)
        attend = _attend_absorbed if self.absorbed else _attend_naive
        begin = 0
        for each in segments:
            end = begin + len(each.tokens)
            latent_sl = each.cache.extend(layer, latent_tl[begin:end])
            c_sc, k_sr = latent_sl[:, :rank], latent_sl[:, rank:]
            out_thv[begin:end] = attend(
                q_thn[begin:end], q_thr[begin:end], c_sc, k_sr, w_k_hnc, w_v_hvc, self._softmax_scale
            )
            begin = end
        return self._linear(out_thv.reshape(len(x_td), -1), f"{name}.o_proj")

    def _moe(self, x_td: Array, name: str) -> Array:
        """The shared expert for all tokens, and for each token the sum of its K experts, weighted by the router."""
        experts_tk, weights_tk = self._route(x_td, f"{name}.gate")
        out_td = self._mlp(x_td, f"{name}.shared_experts") if self.config.n_shared_experts else np.zeros_like(x_td)
        for expert in np.unique(experts_tk):
            token, slot = np.nonzero(experts_tk == expert)
            out_td[token] += weights_tk[token, slot, None] * self._mlp(x_td[token], f"{name}.experts.{expert}")
        return out_td

    def _route(self, x_td: Array, name: str) -> tuple[Array, Array]:
        cfg = self.config
        bias_e = self.weights[f"{name}.e_score_correction_bias"].astype(self.dtype)
        return route(
            self._linear(x_td, name), bias_e, cfg.num_experts_per_tok, groups=cfg.n_group, kept_groups=cfg.topk_group,
            normalise=cfg.norm_topk_prob, scale=cfg.routed_scaling_factor,
        )  # fmt: skip

    def _mlp(self, x_td: Array, name: str) -> Array:
        """SwiGLU: down(silu(gate x) * up x)."""
        gate_ti, up_ti = self._linear(x_td, f"{name}.gate_proj"), self._linear(x_td, f"{name}.up_proj")
        return self._linear(silu(gate_ti) * up_ti, f"{name}.down_proj")

    def _norm(self, x: Array, name: str) -> Array:
        return rms_norm(x, self._weight(f"{name}.weight"), self.config.rms_norm_eps)

    def _linear(self, x: Array, name: str) -> Array:
        return x @ self._weight(f"{name}.weight").T

    def _weight(self, name: str) -> Array:
        weight = self.weights[name]
        return weight if weight.dtype == self.dtype else weight.astype(self.dtype)


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps)) * weight


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-np.clip(x, -80, 80)))


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def softmax(x: Array) -> Array:
    """Over the last axis."""
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def route(
    logits_te: Array,
    bias_e: Array,
    k: int,
    *,
    groups: int = 1,
    kept_groups: int = 1,
    normalise: bool = True,
    scale: float = 1.0,
) -> tuple[Array, Array]:
    """The experts of each token, [T, K] best first, and their weights, [T, K] (DeepSeek-V3, section 2.1.2).

    The bias takes part in the choice alone, never in the weights. Equal scores go to the lower index. With groups, only experts
    of the `kept_groups` whose two best scores add up to most are chosen from.
    """
    score_te = sigmoid(logits_te)
    choice_te = score_te + bias_e
    if groups > 1:
        grouped = choice_te.reshape(len(choice_te), groups, -1)
        best_two = np.sort(grouped, axis=-1)[..., -2:].sum(axis=-1)
        kept = np.argsort(-best_two, axis=-1, kind="stable")[:, :kept_groups]
        mask = np.zeros(best_two.shape, bool)
        np.put_along_axis(mask, kept, True, axis=-1)
        choice_te = np.where(mask[..., None], grouped, -np.inf).reshape(choice_te.shape)
    experts_tk = np.argsort(-choice_te, axis=-1, kind="stable")[:, :k]
    weights_tk = np.take_along_axis(score_te, experts_tk, axis=-1)
    if normalise:
        weights_tk = weights_tk / (weights_tk.sum(axis=-1, keepdims=True) + 1e-20)
    return experts_tk, weights_tk * score_te.dtype.type(scale)


def yarn_frequencies(config: ModelConfig) -> Array:
    """Radians per position of each pair of rotary channels, [R / 2].

    Frequencies that turn more than beta_fast times over the original context keep their pace, those below beta_slow turns are
    slowed down by `factor`, with a linear ramp between. Equal betas make the ramp a hard step.
    """
    dim, base = config.qk_rope_head_dim, config.rope_theta
    plain = base ** (-np.arange(0, dim, 2, dtype=np.float64) / dim)
    yarn = config.yarn
    if yarn is None:
        return plain
    low = max(math.floor(_pair_of(yarn.beta_fast, yarn, dim, base)), 0)
    high = min(math.ceil(_pair_of(yarn.beta_slow, yarn, dim, base)), dim - 1)
    ramp = np.clip((np.arange(dim // 2) - low) / (high - low or 0.001), 0, 1)
    return plain / yarn.factor * ramp + plain * (1 - ramp)


def _pair_of(rotations: float, yarn: Yarn, dim: int, base: float) -> float:
    """Which pair of channels turns so often over the original context."""
    return dim * math.log(yarn.original_max_position / (rotations * 2 * math.pi)) / (2 * math.log(base))


def attention_scales(config: ModelConfig) -> tuple[float, float]:
    """What cosines and sines are multiplied by, and what scores are multiplied by before the softmax."""
    softmax_scale = config.qk_head_dim**-0.5
    yarn = config.yarn
    if yarn is None:
        return 1.0, softmax_scale
    all_dim = _mscale(yarn.factor, yarn.mscale_all_dim)
    return _mscale(yarn.factor, yarn.mscale) / all_dim, softmax_scale * all_dim**2


def _mscale(factor: float, mscale: float) -> float:
    return 0.1 * mscale * math.log(factor) + 1.0


def rotations(positions: Array, inv_freq: Array, scale: float, dtype: Any) -> tuple[Array, Array]:
    """Cosines and sines, each [T, R / 2]. Angles are float64: at 256k positions float32 has lost three digits."""
    angles = positions.astype(np.float64)[:, None] * inv_freq
    return (np.cos(angles) * scale).astype(dtype), (np.sin(angles) * scale).astype(dtype)


def rope(x: Array, cos: Array, sin: Array) -> Array:
    """Turns the pairs (0, 1), (2, 3), ... of the last axis (interleaved, as K2 was trained)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2] = even * cos - odd * sin
    out[..., 1::2] = even * sin + odd * cos
    return out


def _attend_naive(
    q_thn: Array, q_thr: Array, c_sc: Array, k_sr: Array, w_k_hnc: Array, w_v_hvc: Array, scale: float
) -> Array:
    """Keys and values expanded per head from the latents; returns [T, H, V]."""
    k_shn = np.einsum("sc,hnc->shn", c_sc, w_k_hnc)
    v_shv = np.einsum("sc,hvc->shv", c_sc, w_v_hvc)
    scores_hts = np.einsum("thn,shn->hts", q_thn, k_shn) + np.einsum("thr,sr->hts", q_thr, k_sr)
    return np.einsum("hts,shv->thv", _probabilities(scores_hts, scale), v_shv)


def _attend_absorbed(
    q_thn: Array, q_thr: Array, c_sc: Array, k_sr: Array, w_k_hnc: Array, w_v_hvc: Array, scale: float
) -> Array:
    """The same with kv_b_proj moved to the query and the output: (W_k c) . q == c . (W_k^T q)."""
    q_htc = q_thn.transpose(1, 0, 2) @ w_k_hnc
    scores_hts = q_htc @ c_sc.T + q_thr.transpose(1, 0, 2) @ k_sr.T
    out_htc = _probabilities(scores_hts, scale) @ c_sc
    return (out_htc @ w_v_hvc.transpose(0, 2, 1)).transpose(1, 0, 2)


def _probabilities(scores_hts: Array, scale: float) -> Array:
    """Softmax of the scaled scores where no token sees a later one; the T queries are the last of the S keys."""
    new, seen = scores_hts.shape[1:]
    scores_hts = scores_hts * scores_hts.dtype.type(scale)
    if new > 1:
        scores_hts[:, np.arange(seen) > np.arange(seen - new, seen)[:, None]] = -np.inf
    return softmax(scores_hts)
