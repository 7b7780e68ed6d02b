"""Reading the fields of a config.json one by one, so that what nobody read at the end is known to be unknown."""

from typing import Any

from inference_backend.errors import ModelConfigError

MISSING = object()
"""Default of a field that must be there."""

_TRAINING = """
architectures auto_map _name_or_path transformers_version torch_dtype dtype initializer_range aux_loss_alpha seq_aux
ep_size pretraining_tp attention_dropout gradient_checkpointing task_specific_params problem_type finetuning_task
tokenizer_class id2label label2id num_labels torchscript use_bfloat16 pruned_heads is_decoder is_encoder_decoder
add_cross_attention cross_attention_hidden_size tie_encoder_decoder chunk_size_feed_forward tf_legacy_loss
output_attentions output_hidden_states output_scores return_dict return_dict_in_generate use_return_dict use_cache
head_dim num_key_value_heads decoder_start_token_id pad_token_id sep_token_id prefix unsloth_version
attn_implementation _attn_implementation _attn_implementation_autoset qk_head_dim num_local_experts
output_router_logits router_aux_loss_coef
"""

_GENERATION = """
bad_words_ids begin_suppress_tokens suppress_tokens diversity_penalty do_sample early_stopping
encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty
max_length min_length no_repeat_ngram_size num_beam_groups num_beams num_return_sequences remove_invalid_values
repetition_penalty temperature top_k top_p typical_p
"""

WITHOUT_EFFECT = frozenset((_TRAINING + _GENERATION).split())
"""Fields of config.json that do not change what the model computes: training, bookkeeping of other libraries, and defaults of
generation (a request says what it wants). `num_key_value_heads` is nominal under MLA."""


class Fields:
    """`raw` read field by field. Every reader raises ModelConfigError that names the file and the field."""

    def __init__(self, raw: object, where: str) -> None:
        if not isinstance(raw, dict):
            raise ModelConfigError(f"{where}: an object was expected, not {_shown(raw)}")
        self._raw: dict[str, Any] = raw
        self._where = where
        self._read: set[str] = set()

    def take(self, name: str, default: object = MISSING) -> Any:
        """The field as it is; null counts as absent where there is a default."""
        self._read.add(name)
        value = self._raw.get(name)
        if value is None:
            value = default
        if value is MISSING:
            raise ModelConfigError(f"{self._where}: {name} is missing")
        return value

    def text(self, name: str, default: object = MISSING) -> str:
        value = self.take(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, value, "a text")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def count(self, name: str, *, default: object = MISSING, least: int = 1, most: int) -> int:
        value = self.take(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, value, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str, *, default: object = MISSING, least: float, most: float) -> float:
        value = self.take(name, default)
        if (
            not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most  # no NaN either
        ):
            raise self.wrong(name, value, f"a number from {least:g} to {most:g}")
        return float(value)

    def constant(self, name: str, only: object) -> None:
        """A field that the engine knows with one value alone; absent counts as that value."""
        value = self.take(name, only)
        if value != only or isinstance(value, bool) is not isinstance(only, bool):
            raise self.wrong(name, value, f"{only!r}, the only value that the engine knows")

    def rest(self) -> list[str]:
        """The fields that nobody read, but for those without effect."""
        return sorted(set(self._raw) - self._read - WITHOUT_EFFECT)

    def refuse_unknown(self) -> None:
        if unknown := self.rest():
            raise ModelConfigError(
                f"{self._where}: unknown field{'s' * (len(unknown) > 1)} {', '.join(name[:60] for name in unknown[:8])}",
                "It may change what the model computes, so the engine does not guess. A newer version may know it.",
            )

    def wrong(self, name: str, value: object, wanted: str) -> ModelConfigError:
        return ModelConfigError(f"{self._where}: {name} is {_shown(value)}, not {wanted}")


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 1 << 200 else "a giant number"
    return text if len(text) <= 60 else text[:57] + "..."
