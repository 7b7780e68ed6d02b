"""config.json is obeyed where the engine knows it, and refused by field where it does not."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_house import INT4, K2_DATA, needs_k2_data, raw_config, tiny_config

from inference_backend.config import load_config, read_config
from inference_backend.errors import ModelConfigError

YARN = raw_config()["rope_scaling"]
EIGHT, ACTIVATIONS = {"num_bits": 8}, {"targets": ["Linear"], "input_activations": {"num_bits": 8}}
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}


@needs_k2_data
def test_the_real_k26() -> None:
    config = load_config(K2_DATA)
    assert (config.num_hidden_layers, config.n_routed_experts, config.latent_dim) == (61, 384, 576)
    assert config.prefix == "language_model."
    assert config.yarn is not None
    assert (config.yarn.beta_fast, config.yarn.factor, config.rms_norm_eps) == (32.0, 64.0, 1e-5)
    scheme = config.quantisation.scheme_of
    assert scheme("model.layers.3.mlp.experts.7.down_proj") == "int4"
    for kept in (
        "lm_head",
        "model.layers.0.mlp.gate_proj",
        "model.layers.9.mlp.shared_experts.up_proj",
        "model.layers.9.self_attn.o_proj",
    ):
        assert scheme(kept) == "bf16"


def test_fp8_and_both_places_of_the_quantisation() -> None:
    fp8 = tiny_config(quantization_config=FP8).quantisation
    assert fp8.scheme_of("model.layers.0.self_attn.q_a_proj") == "fp8"
    assert fp8.scheme_of("lm_head") == "bf16"
    inner = raw_config()
    for wrapped in (
        {"text_config": inner, "quantization_config": INT4},
        {"text_config": {**inner, "quantization_config": INT4}},
    ):
        assert read_config({"model_type": "kimi_k25", **wrapped}).quantisation.scheme == "int4"


def test_the_form_of_transformers_5() -> None:
    raw = raw_config()
    scaling = raw.pop("rope_scaling")
    theta = raw.pop("rope_theta")
    raw["rope_parameters"] = {**scaling, "rope_theta": theta}
    assert read_config(raw) == tiny_config()


def test_the_end_tokens_of_generation_config_count_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(raw_config()))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, 2], "temperature": 0.6}))
    assert load_config(tmp_path).eos_token_ids == (2, 3)


WRONG = {
    "vocab_size": ({"vocab_size": 10**18}, "vocab_size"),
    "negative": ({"hidden_size": -1}, "hidden_size is -1"),
    "a bool for a number": ({"hidden_size": True}, "hidden_size is True"),
    "a text for a number": ({"rms_norm_eps": "1e-5"}, "rms_norm_eps"),
    "nan": ({"routed_scaling_factor": float("nan")}, "routed_scaling_factor"),
    "missing": ({"kv_lora_rank": None}, "kv_lora_rank is missing"),
    "another model": ({"model_type": "llama"}, "model_type 'llama'"),
    "another activation": ({"hidden_act": "gelu"}, "hidden_act"),
    "another router": ({"scoring_func": "softmax"}, "scoring_func"),
    "unknown field": ({"sliding_window": 4096}, "unknown field sliding_window"),
    "unknown scaling": ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "linear"),
    "unknown field of the scaling": ({"rope_scaling": {**raw_config()["rope_scaling"], "truncate": False}}, "truncate"),
    "two thetas": ({"rope_scaling": None, "rope_parameters": {**YARN, "rope_theta": 1.5e4}}, "rope_theta"),
    "more chosen than there are": ({"num_experts_per_tok": 17}, "num_experts_per_tok"),
    "uneven groups": ({"n_group": 3, "topk_group": 1}, "multiple of n_group"),
    "beyond yarn": ({"max_position_embeddings": 1 << 20}, "beyond what YaRN"),
    "no end": ({"eos_token_id": None}, "eos_token_id"),
    "end beyond the vocabulary": ({"eos_token_id": 320}, "320"),
    "8 bits": ({"quantization_config": {**INT4, "config_groups": {"g": {"targets": ["Linear"], "weights": EIGHT}}}}, "num_bits"),
    "quantised activations": ({"quantization_config": {**INT4, "config_groups": {"g": ACTIVATIONS}}}, "input_activations"),
    "another method": ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
    "a costly pattern": ({"quantization_config": {**INT4, "ignore": ["re:(a+)+$"]}}, "costly"),
    "a broken pattern": ({"quantization_config": {**INT4, "ignore": ["re:(a"]}}, "regular expression"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(case: str) -> None:
    changes, named = WRONG[case]
    with pytest.raises(ModelConfigError) as caught:
        tiny_config(**changes)
    assert named in str(caught.value)
    assert len(str(caught.value)) < 300


NO_CONFIG = {
    "empty": "", "cut": "{", "a list": "[]", "deep": "[" * 100_000, "a giant number": '{"model_type": ' + "9" * 5000 + "}",
    "a zero byte": "\x00", "too large": '"' + "x" * (2 << 20) + '"',
}  # fmt: skip


@pytest.mark.parametrize("text", NO_CONFIG.values(), ids=NO_CONFIG.keys())
def test_files_that_are_no_config(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelConfigError):
        load_config(tmp_path)
    with pytest.raises(ModelConfigError, match="cannot be read"):
        load_config(tmp_path / "nowhere")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from([*raw_config(), "quantization_config", "rope_parameters", "text_config"]),
        json_values,
        max_size=4,
    )
)
def test_any_json_is_read_or_refused(changes: dict[str, object]) -> None:
    """Never another exception."""
    with contextlib.suppress(ModelConfigError):
        read_config(raw_config(**changes))
