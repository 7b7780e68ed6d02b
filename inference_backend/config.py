"""config.json of Kimi K2 (Base to K2.6, text part) and DeepSeek-V3 as plain data, checked before anything is allocated.

The file is obeyed: YaRN factor and betas, norm epsilon and routed scale differ from checkpoint to checkpoint. A field that
would change the mathematics and that the engine does not know is an error; fields that only concern training, other libraries
or generation defaults are listed in `fields.py` and left alone.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inference_backend.bounded import read_bounded
from inference_backend.errors import ModelConfigError
from inference_backend.fields import Fields
from inference_backend.quantisation import Quantisation, read_quantisation

MODEL_TYPES = ("kimi_k2", "deepseek_v3")
MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Yarn:
    """Long-context scaling of the rotary frequencies (YaRN, arXiv 2309.00071; DeepSeek-V3's variant)."""

    factor: float
    original_max_position: int  # positions of the pre-training
    beta_fast: float  # rotations over the original context above which a frequency keeps its pace
    beta_slow: float  # ... below which it is slowed down by the whole factor
    mscale: float
    mscale_all_dim: float


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The sizes and constants of one model, named as in config.json; `*_dim`, `*_rank` and `*_size` are numbers of channels."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    max_position_embeddings: int  # tokens of context
    rms_norm_eps: float
    tie_word_embeddings: bool
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]

    num_attention_heads: int
    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    rope_theta: float
    yarn: Yarn | None

    intermediate_size: int  # of the dense layers
    first_k_dense_replace: int  # this many layers from the first are dense, the rest are MoE
    moe_intermediate_size: int
    n_routed_experts: int
    n_shared_experts: int
    num_experts_per_tok: int
    n_group: int
    topk_group: int
    norm_topk_prob: bool
    routed_scaling_factor: float

    num_nextn_predict_layers: int  # layers for multi-token prediction behind the last one: their tensors are skipped
    quantisation: Quantisation
    prefix: str  # what precedes every tensor name of the language model: "" or "language_model."

    @property
    def qk_head_dim(self) -> int:
        """Channels of one query or key head: content part and rotary part."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def latent_dim(self) -> int:
        """Values cached per token and layer: compressed KV and the shared rotary key (576 for K2)."""
        return self.kv_lora_rank + self.qk_rope_head_dim

    def is_moe(self, layer: int) -> bool:
        return layer >= self.first_k_dense_replace


def load_config(folder: Path) -> ModelConfig:
    """The config of the checkpoint in `folder`, with the end tokens of its generation_config.json where there is one.

    Raises ModelConfigError.
    """
    config = read_config(_read_json(folder / "config.json"), where=str(folder / "config.json"))
    generation = folder / "generation_config.json"
    if not generation.exists():
        return config
    more = _token_ids(_read_json(generation).get("eos_token_id"), config.vocab_size, str(generation))
    return replace(config, eos_token_ids=tuple(dict.fromkeys((*config.eos_token_ids, *more))))


def read_config(raw: dict[str, Any], *, where: str = "config.json") -> ModelConfig:
    """The config in `raw`, the parsed JSON. Raises ModelConfigError that names the field."""
    outer = raw
    wrapped = isinstance(raw.get("text_config"), dict)
    if wrapped:  # K2.5 and newer: vision and language side by side
        raw = {**raw["text_config"]}
        raw["quantization_config"] = raw.get("quantization_config") or outer.get("quantization_config")
    fields = Fields(raw, where)
    model_type = fields.text("model_type")
    if model_type not in MODEL_TYPES:
        raise ModelConfigError(
            f"{where}: model_type {model_type!r} is not one of {', '.join(MODEL_TYPES)} (or kimi_k25 around them)",
            "The engine runs Kimi K2 and DeepSeek-V3 checkpoints; other models need another server.",
        )
    config = _model(fields, outer, wrapped, where)
    fields.refuse_unknown()
    _check(config, where)
    return config


def _model(fields: Fields, outer: dict[str, Any], wrapped: bool, where: str) -> ModelConfig:
    fields.constant("hidden_act", "silu")
    fields.constant("attention_bias", False)
    fields.constant("scoring_func", "sigmoid")
    fields.constant("topk_method", "noaux_tc")
    fields.constant("moe_layer_freq", 1)
    fields.constant("rope_interleave", True)
    vocab_size = fields.count("vocab_size", most=1 << 24)
    rope_theta, yarn = _rope(fields, where)
    eos = _token_ids(fields.take("eos_token_id", None), vocab_size, where)
    if wrapped:
        eos = tuple(dict.fromkeys((*eos, *_token_ids(outer.get("eos_token_id"), vocab_size, where))))
    bos = _token_ids(fields.take("bos_token_id", None), vocab_size, where)
    heads = fields.count("num_attention_heads", most=1 << 12)
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=fields.count("hidden_size", most=1 << 18),
        num_hidden_layers=fields.count("num_hidden_layers", most=1 << 12),
        max_position_embeddings=fields.count("max_position_embeddings", most=1 << 28),
        rms_norm_eps=fields.number("rms_norm_eps", least=0.0, most=1e-2),
        tie_word_embeddings=fields.flag("tie_word_embeddings", False),
        bos_token_id=bos[0] if bos else None,
        eos_token_ids=eos,
        num_attention_heads=heads,
        q_lora_rank=fields.count("q_lora_rank", most=1 << 18),
        kv_lora_rank=fields.count("kv_lora_rank", most=1 << 18),
        qk_nope_head_dim=fields.count("qk_nope_head_dim", most=1 << 16),
        qk_rope_head_dim=fields.count("qk_rope_head_dim", most=1 << 16),
        v_head_dim=fields.count("v_head_dim", most=1 << 16),
        rope_theta=rope_theta,
        yarn=yarn,
        intermediate_size=fields.count("intermediate_size", most=1 << 20),
        first_k_dense_replace=fields.count("first_k_dense_replace", least=0, most=1 << 12),
        moe_intermediate_size=fields.count("moe_intermediate_size", most=1 << 20),
        n_routed_experts=fields.count("n_routed_experts", most=1 << 16),
        n_shared_experts=fields.count("n_shared_experts", least=0, most=1 << 8),
        num_experts_per_tok=fields.count("num_experts_per_tok", most=1 << 16),
        n_group=fields.count("n_group", default=1, most=1 << 16),
        topk_group=fields.count("topk_group", default=1, most=1 << 16),
        norm_topk_prob=fields.flag("norm_topk_prob", True),
        routed_scaling_factor=fields.number("routed_scaling_factor", least=1e-6, most=1e6),
        num_nextn_predict_layers=_prediction_layers(fields),
        quantisation=read_quantisation(fields.take("quantization_config", None), where),
        prefix="language_model." if wrapped else "",
    )


def _prediction_layers(fields: Fields) -> int:
    """transformers 5 calls them num_mtp_layers."""
    return max(
        fields.count(name, default=0, least=0, most=16) for name in ("num_nextn_predict_layers", "num_mtp_layers")
    )


def _rope(fields: Fields, where: str) -> tuple[float, Yarn | None]:
    """Theta and scaling, from `rope_theta` + `rope_scaling` or from the one `rope_parameters` of transformers 5."""
    both, scaling = fields.take("rope_parameters", None), fields.take("rope_scaling", None)
    if both is not None and scaling is not None and both != scaling:
        raise ModelConfigError(f"{where}: rope_parameters and rope_scaling contradict each other")
    inner = Fields(both if both is not None else scaling or {}, f"{where}: rope_scaling")
    theta = inner.take("rope_theta", None) if both is not None else None
    rope_theta = fields.number("rope_theta", default=theta if theta is not None else 10000.0, least=1.0, most=1e12)
    if theta is not None and rope_theta != theta:
        raise ModelConfigError(f"{where}: rope_theta is {rope_theta:g} in one place and {theta:g} in another")
    kinds = {inner.take(name, None) for name in ("type", "rope_type")} - {None}
    if kinds <= {"default"} and not inner.rest():
        return rope_theta, None
    if kinds != {"yarn"}:
        raise ModelConfigError(
            f"{where}: rope_scaling of type {', '.join(map(str, sorted(kinds, key=str))) or 'none'} is not known; only yarn is"
        )
    yarn = Yarn(
        factor=inner.number("factor", least=1.0, most=1e6),
        original_max_position=inner.count("original_max_position_embeddings", most=1 << 28),
        beta_fast=inner.number("beta_fast", default=32.0, least=1e-6, most=1e6),
        beta_slow=inner.number("beta_slow", default=1.0, least=1e-6, most=1e6),
        mscale=inner.number("mscale", default=1.0, least=0.0, most=1e3),
        mscale_all_dim=inner.number("mscale_all_dim", default=0.0, least=0.0, most=1e3),
    )
    inner.refuse_unknown()
    return rope_theta, yarn


def _check(config: ModelConfig, where: str) -> None:
    """What no single field shows: contradictions between them."""
    groups = config.n_group
    wrong = [
        (
            config.first_k_dense_replace > config.num_hidden_layers,
            "first_k_dense_replace is more than num_hidden_layers",
        ),
        (config.num_experts_per_tok > config.n_routed_experts, "num_experts_per_tok is more than n_routed_experts"),
        (config.n_routed_experts % groups != 0, "n_routed_experts is no multiple of n_group"),
        (config.topk_group > groups, "topk_group is more than n_group"),
        (
            config.n_routed_experts % groups == 0
            and config.num_experts_per_tok > config.topk_group * (config.n_routed_experts // groups),
            "num_experts_per_tok is more than topk_group groups hold",
        ),
        (
            groups > 1 and config.n_routed_experts // groups < 2,
            "groups of one expert cannot be ranked by their two best",
        ),
        (config.qk_rope_head_dim % 2 != 0, "qk_rope_head_dim is odd: rotary channels come in pairs"),
        (not config.eos_token_ids, "eos_token_id is missing: an answer would have no end"),
    ]
    if config.yarn is not None:
        longest = config.yarn.factor * config.yarn.original_max_position
        wrong.append(
            (
                config.max_position_embeddings > longest * 1.001,
                "max_position_embeddings is beyond what YaRN's factor reaches",
            )
        )
        wrong.append((config.yarn.beta_fast < config.yarn.beta_slow, "beta_fast is less than beta_slow"))
    for is_wrong, why in wrong:
        if is_wrong:
            raise ModelConfigError(f"{where}: {why}")


def _token_ids(value: object, vocab_size: int, where: str) -> tuple[int, ...]:
    ids = value if isinstance(value, list) else [] if value is None else [value]
    for one in ids:
        if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one < vocab_size:
            raise ModelConfigError(f"{where}: token id {str(one)[:40]} is not below vocab_size {vocab_size}")
    return tuple(ids)


def _read_json(path: Path) -> dict[str, Any]:
    hint = "A checkpoint is a folder with config.json and its .safetensors files."
    data = read_bounded(path, MAX_CONFIG_BYTES, "config.json", ModelConfigError, hint)
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelConfigError(f"{path} is not valid JSON: {str(error)[:120]}") from None
    if not isinstance(raw, dict):
        raise ModelConfigError(f"{path} holds a {type(raw).__name__}, not an object")
    return raw
