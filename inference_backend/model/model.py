"""The whole model on one device, or one rank's share of it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.config import ModelConfig
from inference_backend.errors import RequestError
from inference_backend.kernels.rmsnorm import rms_norm
from inference_backend.model.attention import Attention
from inference_backend.model.batch import Batch
from inference_backend.model.mlp import Dense, Mlp, Moe
from inference_backend.model.parallel import ALONE, Ranks
from inference_backend.model.weights import Linear, Loader, PlainLinear, Stored
from inference_backend.reference import attention_scales, yarn_frequencies


@dataclass(frozen=True, slots=True)
class Layer:
    input_norm: Tensor
    attention: Attention
    post_norm: Tensor
    mlp: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Model:
    config: ModelConfig
    ranks: Ranks
    embedding: Tensor  # [W, D], or this rank's columns of it
    layers: tuple[Layer, ...]
    norm: Tensor
    head: Linear  # this rank's rows of the vocabulary
    inv_freq: Tensor  # [R / 2] float64
    rope_scale: float

    @classmethod
    def load(
        cls,
        config: ModelConfig,
        stored: Stored,
        *,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device | str = "cpu",
        ranks: Ranks = ALONE,
        progress: Callable[[int], None] = lambda layer: None,
    ) -> "Model":
        """Reads all weights layer by layer; `progress` is told each layer that is ready. Raises CheckpointError."""
        loader = Loader(stored, dtype, torch.device(device))
        rope_scale, softmax_scale = attention_scales(config)
        embedding = loader.tensor("model.embed_tokens.weight")
        layers = []
        for number in range(config.num_hidden_layers):
            layers.append(_layer(loader, config, f"model.layers.{number}", softmax_scale, ranks, config.is_moe(number)))
            progress(number)
        share = ranks.share(config.vocab_size) if is_shared(config, ranks) else slice(None)
        head = PlainLinear(embedding[share]) if config.tie_word_embeddings else loader.linear("lm_head", share)
        inv_freq = torch.from_numpy(yarn_frequencies(config)).to(loader.device)
        norm = loader.tensor("model.norm.weight")
        if ranks.size > 1 and config.hidden_size % ranks.size == 0:
            embedding = embedding[:, ranks.share(config.hidden_size)].clone()
        return cls(config, ranks, embedding, tuple(layers), norm, head, inv_freq, rope_scale)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def forward(self, batch: Batch, caches: list[Tensor]) -> Tensor:
        """One step; `caches` holds one tensor [blocks, 64, L] per layer. Returns float32 logits of the wanted tokens, [., W]."""
        eps = self.config.rms_norm_eps
        x_td = self.embedding[batch.tokens]
        if x_td.shape[1] != self.config.hidden_size:
            x_td = self.ranks.join(x_td)
        for layer, cache in zip(self.layers, caches, strict=True):
            x_td = x_td + layer.attention(rms_norm(x_td, layer.input_norm, eps), cache, batch).to(x_td.dtype)
            x_td = x_td + layer.mlp(rms_norm(x_td, layer.post_norm, eps)).to(x_td.dtype)
        x_td = rms_norm(x_td[batch.wanted], self.norm, eps)
        logits = self.head(x_td).float()
        return self.ranks.join(logits) if is_shared(self.config, self.ranks) else logits


def is_shared(config: ModelConfig, ranks: Ranks) -> bool:
    """Whether each rank has some rows of the head; all have all of them where the vocabulary cannot be shared equally."""
    return config.vocab_size % ranks.size == 0


def check_ranks(config: ModelConfig, size: int) -> None:
    """Raises RequestError where the model cannot be spread over so many ranks."""
    for what, count in {
        "heads": config.num_attention_heads,
        "channels": config.intermediate_size,
        "experts": config.n_routed_experts,
        "channels of an expert": config.moe_intermediate_size,
    }.items():
        if count and count % size:
            raise RequestError(f"{count:,} {what} cannot be shared by {size} ranks", "Choose fewer with --ranks.")


def _layer(loader: Loader, config: ModelConfig, name: str, scale: float, ranks: Ranks, is_moe: bool) -> Layer:
    mlp: Callable[[Tensor], Tensor]
    if is_moe:
        mlp = Moe.load(loader, config, f"{name}.mlp", ranks)
    else:
        mlp = Dense(Mlp.load(loader, f"{name}.mlp", ranks.share(config.intermediate_size)), ranks)
    return Layer(
        loader.tensor(f"{name}.input_layernorm.weight"),
        Attention.load(loader, config, f"{name}.self_attn", scale, ranks),
        loader.tensor(f"{name}.post_attention_layernorm.weight"),
        mlp,
    )
