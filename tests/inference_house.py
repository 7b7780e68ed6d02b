"""Small K2 models for tests, made by our own code: configs, random weights, and transformers as the oracle."""

import re
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from inference_backend.config import ModelConfig, read_config

END = 2
K2_DATA = next(
    (p for up in Path(__file__).resolve().parents if (p := up / "shared" / "data" / "k2-tokenizer").is_dir()), None
)
"""The public K2.6 tokenizer data and config.json, where they lie beside the checkout."""
needs_k2_data = pytest.mark.skipif(K2_DATA is None, reason="the K2.6 tokenizer data does not lie beside the checkout")


def raw_config(**changes: Any) -> dict[str, Any]:
    """config.json of a tiny K2 with the real rotary dimension, so that YaRN's ramp is the real one."""
    return {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "kimi_k2",
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 96,
        "moe_intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "q_lora_rank": 48,
        "kv_lora_rank": 32,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 64,
        "v_head_dim": 24,
        "n_routed_experts": 16,
        "n_shared_experts": 1,
        "num_experts_per_tok": 4,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "moe_layer_freq": 1,
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.827,
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "hidden_act": "silu",
        "attention_bias": False,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 262144,
        "rope_theta": 50000.0,
        "rope_scaling": {
            "type": "yarn",
            "factor": 64.0,
            "original_max_position_embeddings": 4096,
            "beta_fast": 1.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 1.0,
        },
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": END,
        **changes,
    }


INT4 = {
    "quant_method": "compressed-tensors", "format": "pack-quantized",
    "quantization_status": "compressed", "kv_cache_scheme": None,
    "ignore": ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"],
    "config_groups": {"group_0": {"input_activations": None, "output_activations": None, "targets": ["Linear"], "weights": {
        "actorder": None, "block_structure": None, "dynamic": False, "group_size": 32, "num_bits": 4, "observer": "minmax",
        "observer_kwargs": {}, "strategy": "group", "symmetric": True, "type": "int"}}},
}  # fmt: skip
"""quantization_config as K2-Thinking and later ship it."""


def tiny_config(**changes: Any) -> ModelConfig:
    return read_config(raw_config(**changes))


YARN_26 = {**raw_config()["rope_scaling"], "beta_fast": 32.0}
SHAPES = {
    "K2-Thinking": {},
    "K2.6": {"rope_scaling": YARN_26},
    "Instruct": {
        "rms_norm_eps": 1e-6, "max_position_embeddings": 131072,
        "rope_scaling": {**YARN_26, "factor": 32.0, "beta_fast": 1.0},
    },
    "DeepSeek-V3": {
        "model_type": "deepseek_v3", "rope_theta": 10000.0, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 2,
        "max_position_embeddings": 163840, "rope_scaling": {**YARN_26, "factor": 40.0}, "routed_scaling_factor": 2.5,
    },
    "all dense": {"first_k_dense_replace": 3},
    "all experts chosen": {"n_routed_experts": 5, "num_experts_per_tok": 5},
    "two shared experts, one head, tied": {"n_shared_experts": 2, "num_attention_heads": 1, "tie_word_embeddings": True},
    "unnormalised, no yarn": {"norm_topk_prob": False, "rope_scaling": None, "max_position_embeddings": 4096},
    "odd sizes": {
        "hidden_size": 37, "q_lora_rank": 11, "kv_lora_rank": 7, "qk_nope_head_dim": 5, "v_head_dim": 9, "intermediate_size": 41,
    },
}  # fmt: skip
"""Changes of `raw_config` that stand for every kind of checkpoint, and for shapes that divide badly."""


def tensor_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of a bf16 checkpoint by its name without the prefix, written down apart from the loader."""
    d, heads = config.hidden_size, config.num_attention_heads
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, d),
        "model.norm.weight": (d,),
    }
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, d)
    for layer in range(config.num_hidden_layers):
        name = f"model.layers.{layer}"
        shapes |= {
            f"{name}.input_layernorm.weight": (d,),
            f"{name}.post_attention_layernorm.weight": (d,),
            f"{name}.self_attn.q_a_proj.weight": (config.q_lora_rank, d),
            f"{name}.self_attn.q_a_layernorm.weight": (config.q_lora_rank,),
            f"{name}.self_attn.q_b_proj.weight": (heads * config.qk_head_dim, config.q_lora_rank),
            f"{name}.self_attn.kv_a_proj_with_mqa.weight": (config.latent_dim, d),
            f"{name}.self_attn.kv_a_layernorm.weight": (config.kv_lora_rank,),
            f"{name}.self_attn.kv_b_proj.weight": (
                heads * (config.qk_nope_head_dim + config.v_head_dim),
                config.kv_lora_rank,
            ),
            f"{name}.self_attn.o_proj.weight": (d, heads * config.v_head_dim),
        }
        if not config.is_moe(layer):
            shapes |= _mlp(f"{name}.mlp", d, config.intermediate_size)
            continue
        shapes[f"{name}.mlp.gate.weight"] = (config.n_routed_experts, d)
        shapes[f"{name}.mlp.gate.e_score_correction_bias"] = (config.n_routed_experts,)
        if config.n_shared_experts:
            shapes |= _mlp(f"{name}.mlp.shared_experts", d, config.moe_intermediate_size * config.n_shared_experts)
        for expert in range(config.n_routed_experts):
            shapes |= _mlp(f"{name}.mlp.experts.{expert}", d, config.moe_intermediate_size)
    return shapes


def _mlp(name: str, hidden: int, inner: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.gate_proj.weight": (inner, hidden),
        f"{name}.up_proj.weight": (inner, hidden),
        f"{name}.down_proj.weight": (hidden, inner),
    }


def random_weights(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """float32 weights whose outputs are neither flat nor saturated; norms near one, a router bias that matters."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in tensor_shapes(config).items():
        if name.endswith("e_score_correction_bias"):
            weights[name] = rng.permutation(np.linspace(-0.1, 0.1, *shape)).astype(np.float32)
        elif len(shape) == 1:
            weights[name] = rng.uniform(0.8, 1.2, shape).astype(np.float32)
        else:
            weights[name] = rng.normal(0, 1.6 * shape[-1] ** -0.5, shape).astype(np.float32)
    return weights


def random_tokens(config: ModelConfig, count: int, seed: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(4, config.vocab_size, count)]


def oracle(config: ModelConfig, weights: dict[str, np.ndarray], raw: dict[str, Any], dtype: Any = None) -> Any:
    """transformers' DeepseekV3ForCausalLM with the same weights, float64 by default.

    Its two latent norms are made to obey config.json's epsilon, as they do not by themselves.
    """
    import torch
    from transformers import DeepseekV3Config, DeepseekV3ForCausalLM

    dtype = dtype or torch.float64
    known = {
        k: v
        for k, v in raw.items()
        if k not in ("rope_scaling", "rope_theta", "model_type", "architectures", "moe_layer_freq")
    }
    scaling = raw.get("rope_scaling") or {"type": "default"}
    rope = {
        "rope_theta": raw["rope_theta"],
        "rope_type": scaling["type"],
        **{k: v for k, v in scaling.items() if k != "type"},
    }
    known["num_key_value_heads"] = config.num_attention_heads
    hf_config = DeepseekV3Config(**known, rope_parameters=rope, num_mtp_layers=0, rope_interleave=True)
    hf_config._attn_implementation = hf_config._experts_implementation = "eager"
    with torch.device("meta"):
        model = DeepseekV3ForCausalLM(hf_config)
    model = model.to_empty(device="cpu").to(dtype).eval()
    model.model.rotary_emb = type(model.model.rotary_emb)(hf_config)  # its buffers are not part of the weights
    state = {name: torch.from_numpy(value).to(dtype) for name, value in weights.items()}
    for layer in range(config.first_k_dense_replace, config.num_hidden_layers):
        experts = f"model.layers.{layer}.mlp.experts"
        gate, up, down = (
            torch.stack([state.pop(f"{experts}.{e}.{part}_proj.weight") for e in range(config.n_routed_experts)])
            for part in ("gate", "up", "down")
        )
        state[f"{experts}.gate_up_proj"], state[f"{experts}.down_proj"] = torch.cat([gate, up], dim=1), down
    if config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    for module in model.modules():
        if type(module).__name__ == "DeepseekV3RMSNorm":
            module.variance_epsilon = config.rms_norm_eps
    return model


STORED = r"(mlp|experts\.\d+)\.(gate|up|down)_proj\.weight$|self_attn\.\w+_proj(_with_mqa)?\.weight$"


def stored_as(scheme: str, weights: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """A checkpoint's tensors in `scheme`, packed by the format's words, and the float32 weights that they stand for."""
    stored, meant = {}, {}
    for name, w in weights.items():
        pattern = r"mlp\.experts\.\d+\." if scheme == "int4" else STORED
        if w.ndim == 2 and scheme == "int4" and re.search(pattern, name):
            grouped = w.reshape(len(w), -1, 32)
            scale = (np.abs(grouped).max(-1) / 7).astype(ml_dtypes.bfloat16)
            codes = np.clip(np.round(grouped / scale.astype(np.float32)[..., None]), -8, 7).astype(np.int64)
            words = ((codes.reshape(len(w), -1, 8) + 8) << np.arange(0, 32, 4)).sum(-1).astype(np.uint32)
            module = name.removesuffix(".weight")
            stored[f"{module}.weight_packed"], stored[f"{module}.weight_scale"] = words.view(np.int32), scale
            meant[name] = (codes * scale.astype(np.float32)[..., None]).reshape(w.shape).astype(np.float32)
        elif w.ndim == 2 and scheme == "fp8" and re.search(pattern, name):
            rows, columns = -(-w.shape[0] // 128), -(-w.shape[1] // 128)
            scale = np.random.default_rng(len(stored)).uniform(0.002, 0.01, (rows, columns)).astype(np.float32)
            wide = np.repeat(np.repeat(scale, 128, 0), 128, 1)[: w.shape[0], : w.shape[1]]
            stored[name] = (w / wide).astype(ml_dtypes.float8_e4m3fn)
            stored[f"{name}_scale_inv"] = scale
            meant[name] = stored[name].astype(np.float32) * wide
        elif w.ndim == 2:
            stored[name] = w.astype(ml_dtypes.bfloat16)
            meant[name] = stored[name].astype(np.float32)
        else:
            stored[name] = meant[name] = w
    return stored, meant
