"""Tiny checkpoints on disk in every scheme, written by our own writer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from inference_house import random_weights, raw_config

from inference_backend.checkpoint.writer import write_file, write_index
from inference_backend.config import ModelConfig, read_config
from inference_backend.convert import CONFIGS
from inference_backend.quant import SCHEMES
from inference_backend.tensors import weights_of


def wrapped(raw: dict[str, Any]) -> dict[str, Any]:
    """As K2.5 has it: the language model's config inside another one."""
    return {"model_type": "kimi_k25", "text_config": raw, "vision_config": {}, "eos_token_id": raw["eos_token_id"]}


def stored(config: ModelConfig, weights: dict[str, np.ndarray], plain: str = "BF16") -> dict[str, np.ndarray]:
    """The tensors of a checkpoint, by full name; `plain` is the type of what no scheme quantises."""
    from inference_backend.checkpoint.header import DTYPES

    tensors = {}
    for weight in weights_of(config):
        values = weights[weight.name]
        if values.ndim == 1 or weight.scheme == "bf16":
            kind = "F32" if weight.name.endswith("_bias") else plain
            tensors[config.prefix + weight.name] = values.astype(DTYPES[kind])
            continue
        stem = weight.name.removesuffix("weight")
        for suffix, array in SCHEMES[weight.scheme].quantise(values).items():
            tensors[config.prefix + stem + suffix] = array
    return tensors


def make_checkpoint(
    folder: Path, scheme: str = "bf16", *, vision: bool = False, shards: int = 1, plain: str = "BF16", **changes: Any
) -> ModelConfig:
    """A tiny K2 in `folder`; `vision` gives it K2.5's prefix and a few tensors of a vision tower."""
    raw = raw_config(**changes)
    if (quantisation := CONFIGS[scheme](vision)) is not None:
        raw["quantization_config"] = quantisation
    raw = wrapped(raw) if vision else raw
    config = read_config(raw)
    tensors = stored(config, random_weights(config), plain)
    if vision:
        tensors["vision_tower.patch_embed.proj.weight"] = np.ones((2, 3), np.float32)
        tensors["mm_projector.pre_norm.bias"] = np.zeros(4, np.float16)
    write_folder(folder, raw, tensors, shards)
    return config


def write_folder(folder: Path, raw: dict[str, Any], tensors: dict[str, np.ndarray], shards: int = 1) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(raw))
    if shards == 1:
        write_file(folder / "model.safetensors", tensors)
        return
    names, file_of = list(tensors), {}
    for number in range(shards):
        part = names[number * len(names) // shards : (number + 1) * len(names) // shards]
        file = f"model-{number + 1}-of-{shards}.safetensors"  # not padded, as K2-Instruct
        write_file(folder / file, {name: tensors[name] for name in part})
        file_of |= dict.fromkeys(part, file)
    write_index(folder, file_of, sum(array.nbytes for array in tensors.values()))


def raw_file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file with any header: JSON, or bytes as they are; `length` is what it says of the header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def k2_raw(scheme: str) -> dict[str, Any]:
    """config.json of K2: Thinking in int4, Instruct in fp8."""
    return raw_config(
        vocab_size=163840, hidden_size=7168, intermediate_size=18432, moe_intermediate_size=2048, num_hidden_layers=61,
        num_attention_heads=64, num_key_value_heads=64, q_lora_rank=1536, kv_lora_rank=512, qk_nope_head_dim=128,
        qk_rope_head_dim=64, v_head_dim=128, n_routed_experts=384, num_experts_per_tok=8, bos_token_id=163584,
        eos_token_id=163586, quantization_config=CONFIGS[scheme](False),
    )  # fmt: skip
