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


DEEPSEEK = {
    "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"}, "aux_loss_alpha": 0.001, "bos_token_id": 0,
    "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
    "initializer_range": 0.02, "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
    "model_type": "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256,
    "n_shared_experts": 1, "norm_topk_prob": True, "num_attention_heads": 128, "num_experts_per_tok": 8,
    "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "pretraining_tp": 1,
    "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "quantization_config": FP8, "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096, "type": "yarn",
    },
    "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "seq_aux": True,
    "tie_word_embeddings": False, "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
    "transformers_version": "4.33.1", "use_cache": True, "v_head_dim": 128, "vocab_size": 129280,
}  # fmt: skip
KIMI = {
    **DEEPSEEK, "model_type": "kimi_k2", "bos_token_id": 163584, "eos_token_id": 163585, "pad_token_id": 163839,
    "first_k_dense_replace": 1, "max_position_embeddings": 131072, "n_group": 1, "topk_group": 1, "n_routed_experts": 384,
    "num_attention_heads": 64, "num_key_value_heads": 64, "num_nextn_predict_layers": 0, "rope_theta": 50000.0,
    "rope_scaling": {**DEEPSEEK["rope_scaling"], "beta_fast": 1.0, "beta_slow": 1.0, "factor": 32.0},
    "routed_scaling_factor": 2.827, "transformers_version": "4.48.3", "vocab_size": 163840,
}  # fmt: skip
VERBOSE = {
    "add_cross_attention": False, "bad_words_ids": None, "begin_suppress_tokens": None, "chunk_size_feed_forward": 0,
    "cross_attention_hidden_size": None, "decoder_start_token_id": None, "diversity_penalty": 0.0, "do_sample": False,
    "dtype": "bfloat16", "early_stopping": False, "encoder_no_repeat_ngram_size": 0, "exponential_decay_length_penalty": None,
    "finetuning_task": None, "forced_bos_token_id": None, "forced_eos_token_id": None, "id2label": {"0": "LABEL_0"},
    "is_decoder": False, "is_encoder_decoder": False, "label2id": {"LABEL_0": 0}, "length_penalty": 1.0, "max_length": 20,
    "min_length": 0, "no_repeat_ngram_size": 0, "num_beam_groups": 1, "num_beams": 1, "num_return_sequences": 1,
    "output_attentions": False, "output_hidden_states": False, "output_scores": False, "prefix": None, "problem_type": None,
    "pruned_heads": {}, "remove_invalid_values": False, "repetition_penalty": 1.0, "return_dict": True,
    "return_dict_in_generate": False, "sep_token_id": None, "suppress_tokens": None, "task_specific_params": None,
    "temperature": 1.0, "tf_legacy_loss": False, "tie_encoder_decoder": False, "tokenizer_class": None, "top_k": 50,
    "top_p": 1.0, "torchscript": False, "typical_p": 1.0, "use_bfloat16": False, "_name_or_path": "",
}  # fmt: skip
K2_LONG = {"max_position_embeddings": 262144, "rope_scaling": {**KIMI["rope_scaling"], "factor": 64.0}}
THINKING = {**KIMI, **VERBOSE, **K2_LONG, "eos_token_id": 163586, "rms_norm_eps": 1e-05, "quantization_config": INT4}
PUBLISHED = {
    "DeepSeek-V3 and R1": DEEPSEEK,
    "DeepSeek-V3.1": {**DEEPSEEK, "quantization_config": {**FP8, "scale_fmt": "ue8m0"}},
    "Kimi-K2-Instruct": KIMI,
    "Kimi-K2-Instruct-0905": {**KIMI, **K2_LONG},
    "Kimi-K2-Thinking": THINKING,
    "Kimi-K2.5": {
        "architectures": ["KimiK25ForConditionalGeneration"], "auto_map": {}, "bos_token_id": 163584, "dtype": "bfloat16",
        "eos_token_id": 163585, "ignore_index": -100, "media_placeholder_token_id": 163605, "model_type": "kimi_k25",
        "pad_token_id": 163839, "text_config": {**THINKING, "auto_map": {}}, "tie_word_embeddings": False,
        "use_unified_vision_chunk": True, "video_placeholder": "<|video|>", "vision_config": {"patch_size": 14},
        "transformers_version": "4.57.1",
    },
}  # fmt: skip
"""config.json of the public checkpoints, all their fields (numbers of the family's table where a copy was not at hand)."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_checkpoints_are_known_field_by_field(name: str) -> None:
    config = read_config(json.loads(json.dumps(PUBLISHED[name])))
    assert config.num_hidden_layers == 61
    assert config.quantisation.scheme == ("int4" if PUBLISHED[name] in (THINKING, PUBLISHED["Kimi-K2.5"]) else "fp8")


@pytest.mark.parametrize("field", ["rope_theta", "routed_scaling_factor", "rms_norm_eps"])
@pytest.mark.parametrize("value", [10**400, -(10**400), float("inf"), float("nan")])
def test_a_number_beyond_all_bounds_is_named(field: str, value: float) -> None:
    with pytest.raises(ModelConfigError, match=field):
        tiny_config(**{field: value})


def test_scales_of_another_form_are_refused() -> None:
    with pytest.raises(ModelConfigError, match="scale_fmt"):
        tiny_config(quantization_config={**FP8, "scale_fmt": "e5m2"})
