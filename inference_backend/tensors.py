"""Every tensor of a checkpoint, from its config alone: name, shape, scheme, what it is for. And whether the files agree."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from inference_backend.checkpoint.header import Entry, shown
from inference_backend.config import ModelConfig
from inference_backend.errors import CheckpointError, ModelConfigError
from inference_backend.quant import SCHEMES
from inference_backend.quant.bf16 import PLAIN
from inference_backend.quant.scheme import Param

KINDS = {
    "embedding": "token embedding",
    "attention": "attention",
    "dense": "MLP of dense layers",
    "router": "routers",
    "shared": "shared experts",
    "routed": "routed experts",
    "norm": "norms",
    "head": "output head",
}
"""What weights are for, in the order of a token's path."""
VISION = ("vision_tower.", "mm_projector.")
"""Tensors of K2.5 and newer that a text engine leaves alone."""
MANY = 1000
"""So many missing tensors are reported without looking for more."""
MAX_EXPERTS = 1 << 17
"""Of all layers together, six times K2's: beyond, a config is not a model but a mistake, and listing it would take minutes."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight of the model. `name` ends in `.weight` (or `_bias`) and has no prefix; `layer` is -1 outside the layers."""

    name: str
    shape: tuple[int, ...]
    kind: str  # of KINDS
    scheme: str = "bf16"  # of quant.SCHEMES
    layer: int = -1

    @property
    def size(self) -> int:
        """Parameters."""
        return self.shape[0] * (self.shape[1] if len(self.shape) > 1 else 1)

    def stored(self) -> dict[str, Param]:
        """What a checkpoint has for it, by the name without prefix. Raises CheckpointError where the scheme cannot store it."""
        if len(self.shape) == 1:
            # the bias of the router decides between experts by small differences: float32
            return {self.name: Param(("F32", "BF16", "F16") if self.name.endswith("_bias") else PLAIN, self.shape)}
        stem = self.name.removesuffix("weight")
        rows, columns = self.shape
        try:
            params = SCHEMES[self.scheme].params((rows, columns))
        except CheckpointError as error:
            raise CheckpointError(f"{self.name}: {error}", error.hint) from None
        return {stem + suffix: param for suffix, param in params.items()}


def weights_of(config: ModelConfig) -> Iterator[Weight]:
    """All weights of the model, in the order of a token's path. Raises ModelConfigError for more than any model has."""
    if config.num_hidden_layers * config.n_routed_experts > MAX_EXPERTS:
        raise ModelConfigError(
            f"config.json asks for {config.num_hidden_layers:,} layers of {config.n_routed_experts:,} experts, "
            f"more than {MAX_EXPERTS:,} in all"
        )
    yield Weight("model.embed_tokens.weight", (config.vocab_size, config.hidden_size), "embedding")
    for layer in range(config.num_hidden_layers):
        yield from _layer(config, layer)
    yield Weight("model.norm.weight", (config.hidden_size,), "norm")
    if not config.tie_word_embeddings:
        scheme = config.quantisation.scheme_of("lm_head")
        yield Weight("lm_head.weight", (config.vocab_size, config.hidden_size), "head", scheme)


def _layer(config: ModelConfig, layer: int) -> Iterator[Weight]:
    name, d, heads = f"model.layers.{layer}", config.hidden_size, config.num_attention_heads

    def linear(module: str, rows: int, columns: int, kind: str) -> Weight:
        module = f"{name}.{module}"
        return Weight(f"{module}.weight", (rows, columns), kind, config.quantisation.scheme_of(module), layer)

    def norm(module: str, size: int) -> Weight:
        return Weight(f"{name}.{module}.weight", (size,), "norm", layer=layer)

    yield norm("input_layernorm", d)
    yield linear("self_attn.q_a_proj", config.q_lora_rank, d, "attention")
    yield norm("self_attn.q_a_layernorm", config.q_lora_rank)
    yield linear("self_attn.q_b_proj", heads * config.qk_head_dim, config.q_lora_rank, "attention")
    yield linear("self_attn.kv_a_proj_with_mqa", config.latent_dim, d, "attention")
    yield norm("self_attn.kv_a_layernorm", config.kv_lora_rank)
    rows = heads * (config.qk_nope_head_dim + config.v_head_dim)
    yield linear("self_attn.kv_b_proj", rows, config.kv_lora_rank, "attention")
    yield linear("self_attn.o_proj", d, heads * config.v_head_dim, "attention")
    yield norm("post_attention_layernorm", d)

    def mlp(module: str, inner: int, kind: str) -> Iterator[Weight]:
        yield linear(f"{module}.gate_proj", inner, d, kind)
        yield linear(f"{module}.up_proj", inner, d, kind)
        yield linear(f"{module}.down_proj", d, inner, kind)

    if not config.is_moe(layer):
        yield from mlp("mlp", config.intermediate_size, "dense")
        return
    # the router is no linear layer to those who quantise: it stays as it is
    yield Weight(f"{name}.mlp.gate.weight", (config.n_routed_experts, d), "router", layer=layer)
    yield Weight(f"{name}.mlp.gate.e_score_correction_bias", (config.n_routed_experts,), "router", layer=layer)
    if config.n_shared_experts:
        yield from mlp("mlp.shared_experts", config.n_shared_experts * config.moe_intermediate_size, "shared")
    for expert in range(config.n_routed_experts):
        yield from mlp(f"mlp.experts.{expert}", config.moe_intermediate_size, "routed")


def is_skipped(config: ModelConfig, name: str) -> bool:
    """Whether a text engine knows the tensor and does without: vision, and layers for multi-token prediction."""
    if config.prefix and name.startswith(VISION):
        return True
    first, last = config.num_hidden_layers, config.num_hidden_layers + config.num_nextn_predict_layers
    stem = f"{config.prefix}model.layers."
    layer = name[len(stem) :].split(".", 1)[0] if name.startswith(stem) else ""
    return layer.isascii() and layer.isdigit() and len(layer) < 6 and first <= int(layer) < last


def check_tensors(config: ModelConfig, found: Mapping[str, Entry], where: str) -> list[str]:
    """Holds the tensors of a checkpoint against its config; returns the names of those that are skipped.

    Raises CheckpointError that names what is missing, what is too much, and what has a wrong shape or type.
    """
    missing, shapes, types, used = list[str](), list[str](), list[str](), 0
    for weight in weights_of(config):
        if len(missing) > MANY:
            _refuse(where, ("missing", missing))
        for short, param in weight.stored().items():
            name = config.prefix + short
            entry = found.get(name)
            if entry is None:
                missing.append(name)
                continue
            used += 1
            if entry.shape != param.shape:
                shapes.append(f"{name} is {list(entry.shape)}, not {list(param.shape)}")
            elif entry.dtype not in param.kinds:
                types.append(f"{name} is {entry.dtype}, not {' or '.join(param.kinds)}")
    skipped, extra = list[str](), list[str]()
    if used < len(found):
        known = {config.prefix + short for weight in weights_of(config) for short in weight.stored()}
        for name in found:
            if name not in known:
                (skipped if is_skipped(config, name) else extra).append(name)
    _refuse(where, ("missing", missing), ("unknown", extra), ("of a wrong shape", shapes), ("of a wrong type", types))
    return skipped


def _refuse(where: str, *problems: tuple[str, list[str]]) -> None:
    parts = []
    for what, names in problems:
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            few = ", ".join(shown(name) for name in names[:3])
            parts.append(f"{len(names)} tensor{'s' * (len(names) > 1)} {what}: {few}{more}")
    if parts:
        raise CheckpointError(
            f"{where} does not fit its config.json. " + ". ".join(parts),
            "The files and config.json belong to different models, or the download is incomplete.",
        )
