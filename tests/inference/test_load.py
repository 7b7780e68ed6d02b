"""Checkpoints on disk, in every scheme: every tensor accounted for, and the model that transformers loads from them."""

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from checkpoint_house import k2_raw, make_checkpoint, stored, write_folder
from inference_house import oracle, random_tokens, random_weights, raw_config, tensor_shapes, tiny_config

from inference_backend.checkpoint.folder import Checkpoint
from inference_backend.checkpoint.writer import write_file
from inference_backend.config import ModelConfig, load_config
from inference_backend.convert import CONFIGS
from inference_backend.errors import CheckpointError, EngineError, ModelConfigError
from inference_backend.load import load_weights, open_weights
from inference_backend.reference import Reference, Segment
from inference_backend.tensors import weights_of

SCHEMES = sorted(CONFIGS)


def logits(config: ModelConfig, weights: Any, tokens: list[int]) -> np.ndarray:
    model = Reference(config, weights)
    return model.forward([Segment(tokens, model.new_cache(), len(tokens))])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("vision", [False, True], ids=["K2", "K2.5"])
def test_a_tiny_checkpoint_of_each_scheme(tmp_path: Path, scheme: str, vision: bool) -> None:
    """The reference runs it, and is off by what the scheme rounds and no more."""
    config = make_checkpoint(tmp_path, scheme, vision=vision, shards=4)
    assert load_config(tmp_path) == config
    weights = load_weights(tmp_path, config)
    plain = random_weights(config)
    assert {name: weights[name].shape for name in weights} == tensor_shapes(config)
    assert all(weights[name].dtype == np.float32 for name in weights)
    for weight in weights_of(config):
        step = {"bf16": 2**-8, "fp8": 2**-4, "int4": 1 / 14}[weight.scheme]
        error = np.abs(weights[weight.name] - plain[weight.name]).max()
        assert error <= step * np.abs(plain[weight.name]).max() * 1.01
    tokens = random_tokens(config, 9)
    found, exact = logits(config, weights, tokens), logits(config, plain, tokens)
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.9


def test_float32_checkpoints_are_exact(tmp_path: Path) -> None:
    config = make_checkpoint(tmp_path, plain="F32")
    weights, plain = load_weights(tmp_path, config), random_weights(config)
    for name, value in plain.items():
        np.testing.assert_array_equal(weights[name], value)


def test_odd_sizes_in_fp8(tmp_path: Path) -> None:
    """Blocks at the edges are as small as what is left."""
    config = make_checkpoint(tmp_path, "fp8", hidden_size=150, intermediate_size=131, moe_intermediate_size=129)
    weights = load_weights(tmp_path, config)
    name = "model.layers.1.mlp.experts.3.gate_proj.weight"
    assert open_weights(tmp_path, config).params(name)["weight_scale_inv"].shape == (2, 2)
    assert np.abs(weights[name] - random_weights(config)[name]).max() < 0.03


@pytest.mark.nightly
def test_int4_loads_in_transformers_and_gives_our_logits(tmp_path: Path) -> None:
    """Files of our writer, through AutoModelForCausalLM and compressed-tensors: the bf16-rounded reference."""
    import torch
    from transformers import AutoModelForCausalLM

    config = make_checkpoint(tmp_path, "int4", model_type="deepseek_v3", shards=3, dtype="bfloat16")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    for parameter in model.eval().parameters():
        parameter.data = parameter.data.float()  # the experts' weights are bf16, and so would be their arithmetic
    for module in model.modules():
        if type(module).__name__ == "DeepseekV3RMSNorm":
            module.variance_epsilon = config.rms_norm_eps
    tokens = random_tokens(config, 24)
    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits[0].numpy()
    rounded = logits(config, load_weights(tmp_path, config, rounded=True), tokens)
    np.testing.assert_allclose(rounded, theirs, rtol=0, atol=2e-4)
    exact = logits(config, load_weights(tmp_path, config), tokens)
    assert 1e-3 < np.abs(exact - theirs).max() < 0.2  # what rounding to bf16 costs, and no more


@pytest.mark.parametrize("scheme", SCHEMES)
def test_quantised_models_equal_transformers_on_dequantised_weights(tmp_path: Path, scheme: str) -> None:
    import torch

    config = make_checkpoint(tmp_path, scheme)
    raw, weights = raw_config(), {name: w.copy() for name, w in load_weights(tmp_path, config).items()}
    tokens = random_tokens(config, 17)
    with torch.no_grad():
        theirs = oracle(config, weights, raw)(torch.tensor([tokens])).logits[0].numpy()
    np.testing.assert_allclose(logits(config, weights, tokens), theirs, rtol=0, atol=2e-4)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_torch_model_takes_the_stored_tensors(tmp_path: Path, scheme: str) -> None:
    import torch

    from inference_backend.engine.runner import Chunk
    from inference_backend.engine.torch_runner import TorchRunner
    from inference_backend.model.model import Model

    config = make_checkpoint(tmp_path, scheme, vision=True, shards=2)
    stored_weights = open_weights(tmp_path, config)
    tokens = random_tokens(config, 20)
    runner = TorchRunner(Model.load(config, stored_weights.tensors, dtype=torch.float32), 2)
    found = runner.forward([Chunk(tokens, 0, [0], 20)])
    near = 2e-3 if scheme == "int4" else 3e-4  # the C kernel of INT4 rounds activations to 16 bits
    np.testing.assert_allclose(found, logits(config, load_weights(tmp_path, config), tokens), rtol=0, atol=near)


def test_bf16_loads_in_transformers(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    config = make_checkpoint(tmp_path, model_type="deepseek_v3", shards=2)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    ours = load_weights(tmp_path, config)
    for name, value in model.state_dict().items():
        if name in ours:
            np.testing.assert_array_equal(value.numpy(), ours[name])


GATE = "model.layers.1.mlp.gate.weight"
EXPERT = "model.layers.2.mlp.experts.5.up_proj"


def replaced(**changes: Any) -> Any:
    """Tensors with dots written as dunders; None takes one away."""

    def change(tensors: dict[str, np.ndarray]) -> None:
        for name, value in changes.items():
            name = name.replace("__", ".")
            if value is None:
                del tensors[name]
            else:
                tensors[name] = value(tensors.get(name)) if callable(value) else value

    return change


def rename(old: str, new: str) -> Any:
    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[new] = tensors.pop(old)

    return change


NO_BIAS, VISION = np.zeros(3, np.float32), np.zeros(1, np.float32)
EXPERT_16 = np.zeros((32, 64), ml_dtypes.bfloat16)
MISFITS = {
    "missing": ("bf16", replaced(model__norm__weight=None), "1 tensor missing: model.norm.weight"),
    "renamed": ("bf16", rename(GATE, GATE + "s"), f"1 tensor missing: {GATE}. 1 tensor unknown: {GATE}s"),
    "extra": ("bf16", replaced(model__layers__1__mlp__gate__bias=NO_BIAS), "unknown: model.layers.1.mlp.gate.bias"),
    "layer too many": ("bf16", rename("model.norm.weight", "model.layers.3.n.weight"), "unknown: model.layers.3.n.weight"),
    "expert too many": ("bf16", replaced(model__layers__1__mlp__experts__16__up_proj__weight=EXPERT_16), "experts.16"),
    "vision in K2": ("bf16", replaced(vision_tower__x=VISION), "unknown: vision_tower.x"),
    "transposed": ("bf16", replaced(lm_head__weight=lambda w: w.T.copy()), "lm_head.weight is [64, 320], not [320, 64]"),
    "flat": ("bf16", replaced(lm_head__weight=lambda w: w.reshape(-1)), "lm_head.weight is [20480]"),
    "integers": ("bf16", replaced(lm_head__weight=lambda w: w.astype(np.int8)), "lm_head.weight is I8, not BF16"),
    "fp8 without a scale": (
        "fp8", replaced(**{f"{EXPERT}.weight_scale_inv": None}), f"missing: {EXPERT}.weight_scale_inv",
    ),
    "fp8 not quantised": (
        "fp8", replaced(**{f"{EXPERT}.weight": lambda w: w.astype(ml_dtypes.bfloat16)}), "is BF16, not F8_E4M3",
    ),
    "int4 with half the groups": (
        "int4", replaced(**{f"{EXPERT}.weight_scale": lambda s: s[:, :1].copy()}), "weight_scale is [32, 1], not [32, 2]",
    ),
    "int4 as bytes": (
        "int4", replaced(**{f"{EXPERT}.weight_packed": lambda w: w.view(np.uint8)}), "weight_packed is [32, 32]",
    ),
    "int4 without a shape": ("int4", replaced(**{f"{EXPERT}.weight_shape": None}), f"missing: {EXPERT}.weight_shape"),
    "int4 in a bf16 config": ("bf16", replaced(**{f"{EXPERT}.weight_packed": np.zeros((2, 2), np.int32)}), "unknown"),
}  # fmt: skip


def checkpoint_with(folder: Path, scheme: str, change: Any) -> ModelConfig:
    raw = raw_config()
    if (quantisation := CONFIGS[scheme](False)) is not None:
        raw["quantization_config"] = quantisation
    config = tiny_config(**raw)
    tensors = stored(config, random_weights(config))
    change(tensors)
    write_folder(folder, raw, tensors)
    return config


@pytest.mark.parametrize("case", MISFITS)
def test_every_tensor_is_accounted_for(tmp_path: Path, case: str) -> None:
    scheme, change, named = MISFITS[case]
    config = checkpoint_with(tmp_path, scheme, change)
    with pytest.raises(CheckpointError) as caught:
        load_weights(tmp_path, config)
    assert named in str(caught.value)
    assert "config.json" in str(caught.value)


NOT_FINITE = {
    "NaN in a scale of int4": ("int4", f"{EXPERT}.weight_scale", f"{EXPERT}.weight_scale holds scales"),
    "NaN in a scale of fp8": ("fp8", f"{EXPERT}.weight_scale_inv", f"{EXPERT}.weight_scale_inv holds scales"),
    "NaN in fp8": ("fp8", f"{EXPERT}.weight", f"{EXPERT}.weight holds numbers"),
    "NaN in bf16": ("bf16", f"{EXPERT}.weight", f"{EXPERT}.weight holds numbers"),
    "infinity in bf16": ("bf16", f"{EXPERT}.weight", f"{EXPERT}.weight holds numbers"),
    "NaN in a norm": ("bf16", "model.norm.weight", "model.norm.weight holds numbers"),
}


@pytest.mark.parametrize("case", NOT_FINITE)
def test_numbers_that_are_not_finite_are_named(tmp_path: Path, case: str) -> None:
    scheme, name, named = NOT_FINITE[case]

    def change(tensors: dict[str, np.ndarray]) -> None:
        tensors[name].reshape(-1)[-1] = np.inf if case.startswith("infinity") else np.nan

    config = checkpoint_with(tmp_path, scheme, change)
    with pytest.raises(CheckpointError) as caught:
        open_weights(tmp_path, config).verify()
    assert named in str(caught.value)
    with pytest.raises(CheckpointError):
        dict(load_weights(tmp_path, config))


def test_a_stored_shape_that_contradicts_is_named(tmp_path: Path) -> None:
    wrong = replaced(**{f"{EXPERT}.weight_shape": np.array([64, 32], np.int32)})
    config = checkpoint_with(tmp_path, "int4", wrong)
    with pytest.raises(CheckpointError, match=r"weight_shape says \[64, 32\], but config.json \[32, 64\]"):
        open_weights(tmp_path, config).verify()
    wide = replaced(**{f"{EXPERT}.weight_shape": np.array([32, 64], np.int64)})  # as the library writes it
    config = checkpoint_with(tmp_path / "wide", "int4", wide)
    open_weights(tmp_path / "wide", config).verify()


def test_what_a_text_engine_does_without_is_skipped_by_name(tmp_path: Path) -> None:
    config = make_checkpoint(tmp_path / "k25", vision=True)
    assert sorted(open_weights(tmp_path / "k25", config).skipped) == [
        "mm_projector.pre_norm.bias", "vision_tower.patch_embed.proj.weight",
    ]  # fmt: skip
    raw = raw_config(num_nextn_predict_layers=1)
    config = tiny_config(**raw)
    tensors = stored(config, random_weights(config)) | {"model.layers.3.eh_proj.weight": np.zeros((2, 2), np.float32)}
    write_folder(tmp_path / "mtp", raw, tensors)
    assert open_weights(tmp_path / "mtp", config).skipped == ["model.layers.3.eh_proj.weight"]


GIANTS = {
    "hidden_size": 1 << 18, "vocab_size": 1 << 24, "num_hidden_layers": 4096, "n_routed_experts": 1 << 16,
    "intermediate_size": 1 << 20, "num_attention_heads": 4096,
}  # fmt: skip


@pytest.mark.parametrize("field", GIANTS)
def test_giant_parameters_allocate_nothing(tmp_path: Path, field: str) -> None:
    import tracemalloc

    make_checkpoint(tmp_path)
    config = tiny_config(**{field: GIANTS[field]})
    tracemalloc.start()
    with pytest.raises(EngineError):
        load_weights(tmp_path, config)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_a_config_of_endless_experts_is_refused() -> None:
    config = tiny_config(num_hidden_layers=4096, n_routed_experts=1 << 16)
    with pytest.raises(ModelConfigError, match="4,096 layers of 65,536 experts"):
        next(weights_of(config))


def test_only_what_is_used_is_kept(tmp_path: Path) -> None:
    config = make_checkpoint(tmp_path, "int4")
    small = load_weights(tmp_path, config, cache_bytes=1)
    large = load_weights(tmp_path, config)
    name = f"{EXPERT}.weight"
    assert large[name] is large[name]
    first = small[name]
    assert small["model.norm.weight"] is not None
    assert small[name] is not first
    with contextlib.suppress(KeyError):
        small["model.nothing.weight"]
        raise AssertionError("an unknown name has no weight")


def test_no_code_and_no_pickle_is_run(tmp_path: Path) -> None:
    """Files that other loaders would execute lie there untouched."""
    config = make_checkpoint(tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "modeling_deepseek.py").write_text(f"open({str(ran)!r}, 'w')")
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch " + str(ran).encode() + b"'\ntR.")
    raw = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**raw, "auto_map": {"AutoModel": "modeling_deepseek.Model"}}))
    assert load_config(tmp_path) == config
    logits(config, load_weights(tmp_path, config), [1, 2, 3])
    assert not ran.exists()


def test_files_are_mapped_when_first_used(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", {"a": np.ones(3, np.float32)})
    checkpoint = Checkpoint(tmp_path)
    first = checkpoint.array("a")
    checkpoint.release()
    np.testing.assert_array_equal(checkpoint.array("a"), first)


@pytest.mark.nightly
def test_all_of_k2_in_its_real_layout(tmp_path: Path) -> None:
    """62 files of 594 GB, whose headers are real and whose data are holes: opened, checked and looked at in seconds."""
    import resource

    from inference_backend.checkpoint.writer import layout, write_index

    raw = k2_raw("int4")
    (tmp_path / "config.json").write_text(json.dumps(raw))
    config = load_config(tmp_path)
    shards: dict[int, dict[str, tuple[str, tuple[int, ...]]]] = {}
    for weight in weights_of(config):
        shard = shards.setdefault(weight.layer + 1 if weight.layer >= 0 else 62, {})
        shard |= {name: (param.kinds[0], param.shape) for name, param in weight.stored().items()}
    file_of = {}
    for number, tensors in shards.items():
        head, entries = layout(tensors)
        name = f"model-{number:05d}-of-000062.safetensors"
        with (tmp_path / name).open("wb") as file:
            file.write(head)
            file.truncate(max(entry.end for entry in entries.values()))
        file_of |= dict.fromkeys(tensors, name)
    write_index(tmp_path, file_of, 0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = open_weights(tmp_path, config)
    assert len(found.checkpoint) == 208_215
    assert sum(entry.end - entry.begin for entry in found.checkpoint.values()) > 594e9
    packed = found.tensors["model.layers.60.mlp.experts.383.down_proj.weight_packed"]
    assert packed.shape == (7168, 256)
    assert not packed.any()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
