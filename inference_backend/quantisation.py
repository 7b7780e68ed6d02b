"""What config.json says of how the weights are stored: which linear layers are quantised, and how."""

import re
from dataclasses import dataclass

from inference_backend.errors import ModelConfigError
from inference_backend.fields import Fields

INT4_GROUP = 32
FP8_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Quantisation:
    """`scheme` names a file of `quant/`: "bf16", "fp8" (blocks of 128x128) or "int4" (groups of 32 along the input)."""

    scheme: str = "bf16"
    ignore: tuple[str, ...] = ()  # modules that stay bf16: a name, the last part of one, or "re:" and a pattern

    def scheme_of(self, module: str) -> str:
        """The scheme of one linear layer, by its name without `.weight` and without the checkpoint's prefix."""
        return "bf16" if self.scheme == "bf16" or self._is_ignored(module) else self.scheme

    def _is_ignored(self, module: str) -> bool:
        return any(
            re.match(one[3:], module) is not None
            if one.startswith("re:")
            else module == one or module.endswith("." + one)
            for one in self.ignore
        )


def read_quantisation(raw: object, where: str) -> Quantisation:
    """`quantization_config` of config.json; None means plain bf16. Raises ModelConfigError."""
    if raw is None:
        return Quantisation()
    fields = Fields(raw, f"{where}: quantization_config")
    method = fields.text("quant_method")
    if method == "fp8":
        return _fp8(fields)
    if method == "compressed-tensors":
        return _int4(fields)
    raise fields.wrong("quant_method", method, "'fp8' or 'compressed-tensors'")


def _fp8(fields: Fields) -> Quantisation:
    fields.constant("fmt", "e4m3")
    fields.constant("weight_block_size", [FP8_BLOCK, FP8_BLOCK])
    fields.take("activation_scheme", None)  # activations are not quantised here: more exact, never less
    if fields.take("scale_fmt", None) not in (
        None,
        "ue8m0",
    ):  # DeepSeek-V3.1: scales are powers of two, stored as float32
        raise fields.wrong("scale_fmt", fields.take("scale_fmt"), "'ue8m0' or null")
    skipped = fields.take("modules_to_not_convert", [])
    fields.refuse_unknown()
    return Quantisation("fp8", ("lm_head", r"re:.*mlp\.gate$", *_patterns(skipped, fields)))


def _int4(fields: Fields) -> Quantisation:
    fields.constant("format", "pack-quantized")
    ignore = _patterns(fields.take("ignore", []), fields)
    for unused in ("kv_cache_scheme", "global_compression_ratio", "sparsity_config", "transform_config"):
        if fields.take(unused, None) not in (None, {}):
            raise fields.wrong(unused, fields.take(unused), "null")
    fields.take("quantization_status", None)
    fields.take("version", None)
    groups = fields.take("config_groups")
    if not isinstance(groups, dict) or len(groups) != 1:
        raise fields.wrong("config_groups", groups, "one group")
    group = Fields(next(iter(groups.values())), "quantization_config: config_groups")
    group.constant("targets", ["Linear"])
    group.take("format", None)
    for activations in ("input_activations", "output_activations"):
        if group.take(activations, None) is not None:
            raise group.wrong(activations, group.take(activations), "null: only weights are quantised")
    weights = Fields(group.take("weights"), "quantization_config: weights")
    for name, only in (
        ("num_bits", 4),
        ("type", "int"),
        ("symmetric", True),
        ("strategy", "group"),
        ("group_size", INT4_GROUP),
    ):
        weights.constant(name, only)
    for name in ("actorder", "block_structure"):
        if weights.take(name, None) is not None:
            raise weights.wrong(name, weights.take(name), "null")
    weights.constant("dynamic", False)
    for name in ("observer", "observer_kwargs", "zp_dtype", "scale_dtype"):
        weights.take(name, None)
    for each in (weights, group, fields):
        each.refuse_unknown()
    return Quantisation("int4", ignore)


_COSTLY = re.compile(r"\)[*+?{]|\\\d|\(\?")  # repeated groups, references, look-around: what can take exponential time


def _patterns(value: object, fields: Fields) -> tuple[str, ...]:
    """The list of ignored modules, each pattern compiled once to see that it is one."""
    if (
        not isinstance(value, list)
        or not all(isinstance(one, str) and len(one) <= 1000 for one in value)
        or len(value) > 10000
    ):
        raise fields.wrong("ignore", value, "a list of module names")
    for one in value:
        if one.startswith("re:"):
            if _COSTLY.search(one) or len(re.findall(r"[*+{]", one)) > 4:
                raise ModelConfigError(
                    f"quantization_config: ignore pattern {one[:60]!r} is too costly to try on every tensor"
                )
            try:
                re.compile(one[3:])
            except (re.error, RecursionError) as error:
                raise ModelConfigError(
                    f"quantization_config: ignore pattern {one[:60]!r} is not a regular expression: {error}"
                ) from None
    return tuple(value)
