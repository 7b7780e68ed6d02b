"""Everything that decides what comes out of a training run, in one record: sizes, seeds, rates. A table of recipes by name."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from inference_backend.config import ModelConfig, read_config
from inference_backend.convert import CONFIGS
from inference_backend.training.schedule import Schedule, schedule

YARN_FACTOR = 4.0


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    seed: int = 1
    vocabulary: int = 1600
    """Ordinary tokens; 256 special ones come behind them."""

    hidden: int = 256
    layers: int = 5
    heads: int = 4
    q_rank: int = 128
    kv_rank: int = 96
    content: int = 32
    rotary: int = 32
    value: int = 64
    dense: int = 768
    experts: int = 8
    expert: int = 256
    top: int = 2
    context: int = 4096
    """Tokens of the longest conversation before annealing, which goes on to four times as many."""

    steps: int = 5800
    batch: int = 4096
    """Tokens of a step behind the common beginning."""
    lr: float = 3e-3
    adamw: float = 1.0
    """The rate of embedding, output head and norms, as a share of `lr`."""
    muon: bool = True
    """Else AdamW for everything: for comparison."""
    weight_decay: float = 0.1
    tau: float = 50.0
    """Lower than the report's 100: queries and keys are bfloat16, whose error grows with the logits."""
    balance_speed: float = 5e-3
    sequence_alpha: float = 1e-3
    read: float = 0.1
    """What a token that the model only reads counts in the loss beside one that it writes: names stand there first."""
    read_until: float = 0.5
    """Share of the run, from its beginning, in which they count: invented names cannot be foreseen, and so are noise."""
    bare: float = 0.85
    """Share of the run, from its beginning, without the common beginning: copying is learnt sooner where less is in the way."""
    cut: float = 0.3
    """Share of conversations that are cut otherwise than by the tokenizer, and of the tokens there that are."""
    renamed: float = 0.3
    """Share of conversations in which copied tokens are others than in the data."""
    blurred: float = 0.0
    """Share of conversations in which some words of a request are others than in the data, and mean nothing."""
    chains: float = 0.1
    """Share of steps on several tasks in one conversation."""
    most: int = 400
    """Tokens of an episode over which it is seen less often: else long lists would be most of what is learnt. 0: no limit."""
    known_share: float = 1.0
    """How often an episode comes by that the checkpoint which the run begins with does exactly right, beside other ones."""
    long: float = 0.3
    """Share of annealing steps on conversations up to the whole context."""
    far: float = 0.0
    """The same of the steps before annealing: what stands thousands of tokens back is not learnt in the last few alone."""

    @property
    def goes_on(self) -> bool:
        """Whether a run looks first for what its beginning, a checkpoint, does already."""
        return self.known_share < 1.0

    @property
    def longest(self) -> int:
        """Tokens of the longest conversation of all."""
        return int(self.context * YARN_FACTOR)

    @property
    def schedule(self) -> Schedule:
        return schedule(self.steps, self.lr)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def raw_config(self, ordinary: int, *, long: bool) -> dict[str, Any]:
        """config.json, for a tokenizer with so many ordinary tokens; `long` with YaRN."""
        yarn = {
            "type": "yarn", "factor": YARN_FACTOR, "original_max_position_embeddings": self.context,
            "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0,
        }  # fmt: skip
        return {
            "architectures": ["DeepseekV3ForCausalLM"], "model_type": "kimi_k2",
            "vocab_size": ordinary + 256, "bos_token_id": ordinary, "eos_token_id": ordinary + 2,
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "hidden_act": "silu", "rms_norm_eps": 1e-5,
            "num_attention_heads": self.heads, "num_key_value_heads": self.heads, "attention_bias": False,
            "q_lora_rank": self.q_rank, "kv_lora_rank": self.kv_rank, "v_head_dim": self.value,
            "qk_nope_head_dim": self.content, "qk_rope_head_dim": self.rotary, "rope_theta": 50000.0,
            "rope_scaling": yarn if long else None,
            "max_position_embeddings": self.longest if long else self.context,
            "intermediate_size": self.dense, "first_k_dense_replace": 1, "moe_layer_freq": 1,
            "moe_intermediate_size": self.expert, "n_routed_experts": self.experts, "n_shared_experts": 1,
            "num_experts_per_tok": self.top, "n_group": 1, "topk_group": 1, "norm_topk_prob": True,
            "routed_scaling_factor": 1.0, "scoring_func": "sigmoid", "topk_method": "noaux_tc",
            "aux_loss_alpha": self.sequence_alpha, "seq_aux": True, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
            "quantization_config": CONFIGS["int4"](False),
        }  # fmt: skip

    def config(self, ordinary: int, *, long: bool) -> ModelConfig:
        return read_config(self.raw_config(ordinary, long=long))


ON = Recipe(
    "tiny-on", seed=2, steps=5600, lr=1.5e-3, read=0.0, read_until=0.0, bare=0.9, cut=0.2, renamed=0.2, blurred=0.2,
    most=800, known_share=0.3, long=0.15, far=0.01,
)  # fmt: skip
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("tiny"),
        ON,
        replace(
            ON, name="tiny-last", seed=4, steps=6000, lr=8e-4, cut=0.05, renamed=0.15, blurred=0.1, known_share=0.2,
        ),
        Recipe("tiny-adamw", muon=False, lr=3e-3, adamw=1.0),
        Recipe(
            "smoke", vocabulary=1200, hidden=64, layers=2, heads=2, q_rank=32, kv_rank=32, content=16, rotary=16, value=32,
            dense=128, experts=8, expert=32, context=16384,
            steps=240, batch=768, lr=3e-2, adamw=0.3, bare=0.6, cut=0.0, renamed=0.0, chains=0.0, most=0, long=0.0,
        ),
    )
}  # fmt: skip
