"""How much memory the cache of conversations gets."""

from inference_backend.config import ModelConfig
from inference_backend.engine.runner import BLOCK_TOKENS
from inference_backend.errors import CapacityError

SEQUENCES = 8
"""Full contexts that the cache has room for where memory allows more."""


def cache_blocks(config: ModelConfig, item: int, free: float, given: float = 0.0, parts: int = 1) -> int:
    """How many blocks fit into `free` bytes, or into `given` ones, where each cached value has `item` bytes.

    `parts`: over so many processes the cache is split; the answer is for each. Raises CapacityError.
    """
    block = BLOCK_TOKENS * config.num_hidden_layers * config.latent_dim * item
    room = int((given or free) // block)
    wanted = -(-config.max_position_embeddings // BLOCK_TOKENS)
    if room < 2:
        raise CapacityError(
            "there is no memory left for the cache of a conversation",
            f"64 tokens need {block / 1e6:.1f} MB. Give it more with --cache-gb, or choose a smaller model.",
        )
    return room if given else min(room, -(-wanted * SEQUENCES // parts))
