"""What a model takes: parameters, bytes, cache per token, bytes read per token, and what fits where, from its config alone.

The roofline of decoding: a step reads the weights that it uses once, and the cache of every sequence; no step is quicker than
those bytes over the bandwidth of the memory. Collectives and launches come on top.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inference_backend.checkpoint.header import DTYPES, Entry
from inference_backend.config import ModelConfig
from inference_backend.gpus import Gpu
from inference_backend.tensors import KINDS, Weight, weights_of

KV_ITEM = 2
"""Bytes per cached value: bfloat16."""
RESERVE = 2.5e9
"""Bytes per GPU that neither weights nor cache get: the CUDA context, activations, graphs, communication buffers."""
SPLIT = "--split-context"
REPLICATED = ("q_a_proj.weight", "kv_a_proj_with_mqa.weight")
"""Weights without heads, which every GPU of a tensor-parallel group holds whole, as it does routers and norms."""


@dataclass(slots=True)
class Share:
    """Part of a model: its parameters, its bytes as stored, those of them that every GPU holds, those of one decoded token."""

    parameters: int = 0
    stored: int = 0
    replicated: int = 0
    read: float = 0.0

    def add(self, other: "Share") -> None:
        self.parameters += other.parameters
        self.stored += other.stored
        self.replicated += other.replicated
        self.read += other.read


@dataclass(frozen=True, slots=True)
class Sizes:
    """A whole model. `kinds` by the names of `tensors.KINDS`, `layers` in order."""

    total: Share
    kinds: dict[str, Share]
    layers: list[Share]
    kv_per_token: int  # bytes
    tensors: int  # of a checkpoint, without what a text engine skips
    schemes: dict[str, int] = field(default_factory=dict)  # bytes by scheme


def sizes_of(config: ModelConfig, found: Mapping[str, Entry] | None = None) -> Sizes:
    """The sizes of the model, of the tensors as `found` in a checkpoint where given. Raises ModelConfigError, CheckpointError."""
    kinds = {kind: Share() for kind in KINDS}
    layers = [Share() for _ in range(config.num_hidden_layers)]
    total, schemes, tensors = Share(), dict[str, int](), 0
    for weight in weights_of(config):
        share, count = _share(config, weight, found)
        tensors += count
        schemes[weight.scheme] = schemes.get(weight.scheme, 0) + share.stored
        for sum_ in (total, kinds[weight.kind], *([layers[weight.layer]] if weight.layer >= 0 else [])):
            sum_.add(share)
    kinds = {kind: share for kind, share in kinds.items() if share.parameters}
    return Sizes(total, kinds, layers, kv_bytes_per_token(config), tensors, schemes)


def _share(config: ModelConfig, weight: Weight, found: Mapping[str, Entry] | None) -> tuple[Share, int]:
    params = weight.stored()
    if found is None:
        stored = sum(math.prod(param.shape) * DTYPES[param.kinds[0]].itemsize for param in params.values())
    else:
        entries = [found[config.prefix + name] for name in params]
        stored = sum(entry.end - entry.begin for entry in entries)
    everywhere = weight.kind in ("router", "norm") or weight.name.endswith(REPLICATED)
    read = float(stored)
    if weight.kind == "embedding" and not config.tie_word_embeddings:
        read = stored / config.vocab_size
    elif weight.kind == "routed":
        read = stored * config.num_experts_per_tok / config.n_routed_experts
    return Share(weight.size, stored, stored if everywhere else 0, read), len(params)


def kv_bytes_per_token(config: ModelConfig) -> int:
    """Bytes of cache per token: the latent and the rotary key of each layer in bfloat16, 70,272 for K2."""
    return config.num_hidden_layers * config.latent_dim * KV_ITEM


def distinct_experts(config: ModelConfig, batch: int) -> float:
    """Experts of one layer that a step over `batch` tokens uses, when each chooses independently."""
    chosen = config.num_experts_per_tok / config.n_routed_experts
    return config.n_routed_experts * -math.expm1(batch * math.log1p(-chosen)) if chosen < 1 else config.n_routed_experts


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes are per GPU. `tokens` of cache fit in all: on every GPU the same ones, or each token on one GPU (`sharded`)."""

    gpu: Gpu
    count: int
    weights: float
    room: float  # for the cache; negative: so much is missing
    tokens: int
    tokens_sharded: int
    ranks: int  # GPUs that `serve` takes of these by itself
    ranks_split: int  # ... with the cache split by context
    least_count: int  # of such GPUs that hold the weights and the cache of one full context; 0: no number does
    seconds_per_token: float  # of one sequence, the cache empty; 0 where the bandwidth is not known
    seconds_at: dict[int, tuple[float, float]]  # ... with so many tokens cached: replicated, sharded
    batches: dict[
        int, float
    ]  # tokens per second of so many sequences together, 8,192 tokens cached each, split by context
    notes: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return self.tokens > 0


CONTEXTS = (32 << 10, 128 << 10, 256 << 10)
BATCHES, BATCH_CONTEXT = (1, 4, 16, 64), 8 << 10


def plan_gpus(config: ModelConfig, sizes: Sizes, gpus: Sequence[Gpu]) -> Plan:
    """How the model lies on GPUs of one host, tensor-parallel: heads, experts' inner size and vocabulary split over all.

    The smallest of `gpus` sets the pace.
    """
    count, gpu = len(gpus), min(gpus, key=lambda each: each.memory)
    weights = _split(sizes.total.stored, sizes.total.replicated, count)
    room = gpu.memory - RESERVE - weights
    tokens = max(0, int(room // sizes.kv_per_token))
    pace = gpu.bandwidth
    read = _split(sizes.total.read, sizes.total.replicated, count)
    at = {}
    for context in CONTEXTS:
        if pace and context <= config.max_position_embeddings:
            cache = context * sizes.kv_per_token
            at[context] = ((read + cache) / pace, (read + cache / count) / pace)
    batches = {
        batch: batch * pace * count / step_bytes(config, sizes, batch, BATCH_CONTEXT, count)
        for batch in BATCHES
        if pace and batch * BATCH_CONTEXT <= tokens * count
    }
    return Plan(
        gpu, count, weights, room, tokens, tokens * count,
        ranks_needed(config, sizes, gpus, split=False), ranks_needed(config, sizes, gpus, split=True),
        _least(config, sizes, gpu), read / pace if pace else 0.0, at, batches, tuple(_notes(config, count, room, tokens)),
    )  # fmt: skip


def step_bytes(config: ModelConfig, sizes: Sizes, batch: int, context: int, count: int = 1) -> float:
    """Bytes that `count` GPUs together read in one step of `batch` sequences with `context` tokens cached each.

    The experts of a step are the union of what the sequences choose: 8 sequences read 7.4 times the experts of one.
    """
    routed = sizes.kinds["routed"] if "routed" in sizes.kinds else Share()
    experts = routed.stored * distinct_experts(config, batch) / config.n_routed_experts
    once = sizes.total.read - routed.read + sizes.total.replicated * (count - 1)
    return once + experts + batch * context * sizes.kv_per_token


def ranks_needed(config: ModelConfig, sizes: Sizes, gpus: Sequence[Gpu], *, split: bool) -> int:
    """How many of `gpus` a model is spread over: the fewest that hold its weights and one full context, `split` over them or
    whole on each; else the most that can share its heads and experts."""
    gpu, most = min(gpus, key=lambda each: each.memory), 1
    need = config.max_position_embeddings * sizes.kv_per_token
    for count in range(1, len(gpus) + 1):
        if config.num_attention_heads % count or config.n_routed_experts % count:
            continue
        left = gpu.memory - RESERVE - _split(sizes.total.stored, sizes.total.replicated, count)
        if left * (count if split else 1) >= need:
            return count
        most = count
    return most


def _split(total: float, replicated: float, count: int) -> float:
    return (total - replicated) / count + replicated


def _least(config: ModelConfig, sizes: Sizes, gpu: Gpu) -> int:
    need = config.max_position_embeddings * sizes.kv_per_token
    for count in range(1, config.num_attention_heads + 1):
        left = gpu.memory - RESERVE - _split(sizes.total.stored, sizes.total.replicated, count)
        if config.num_attention_heads % count == 0 and left * count >= need:
            return count
    return 0


def _notes(config: ModelConfig, count: int, room: float, tokens: int) -> list[str]:
    notes = []
    if config.num_attention_heads % count:
        notes.append(f"{config.num_attention_heads} heads cannot be split over {count} GPUs evenly.")
    if room <= 0:
        notes.append("The weights do not fit: experts would have to stay in main memory, or take a smaller scheme.")
    elif tokens < config.max_position_embeddings:
        whole = tokens * count >= config.max_position_embeddings
        how = f"split by context over the GPUs ({SPLIT}) it does" if whole else "a shorter limit is needed"
        notes.append(f"One full context of {config.max_position_embeddings:,} tokens does not fit on each GPU; {how}.")
    return notes
