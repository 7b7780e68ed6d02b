"""What runs a model for the engine: the reference (NumPy) and torch answer the same few calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from inference_backend.config import ModelConfig

BLOCK_TOKENS = 64
"""Tokens per block of the cache."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request's share of a step.

    `tokens` go to the positions from `start` on; position p lies in row p % 64 of block `blocks[p // 64]`, and all positions
    before `start` are filled already. Logits are wanted for the last `logits` of the tokens: 0 for a prefill that goes on, 1 for
    its end and for decoding, 1 + k where k drafted tokens are checked.
    """

    tokens: Sequence[int]
    start: int
    blocks: Sequence[int]
    logits: int = 1


class Runner(Protocol):
    """A model with a pool of cache blocks. Not safe for several threads: the engine makes one call at a time."""

    config: ModelConfig
    block_count: int

    @property
    def failure(self) -> str:
        """Why it cannot go on, as where a process of it has ended; empty while it can."""
        ...

    def forward(self, chunks: Sequence[Chunk]) -> NDArray[Any]:
        """Runs one step, writes the latents of all tokens; returns float32 logits, [sum of `logits`, vocab_size], in order."""
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Copies all layers of one block: copy-on-write of a block that two requests share."""
        ...

    def read_block(self, block: int) -> bytes:
        """All layers of one block, for a snapshot."""
        ...

    def write_block(self, block: int, data: bytes) -> None:
        """Puts back what `read_block` gave. Raises CheckpointError where the size does not fit."""
        ...

    def close(self) -> None:
        """Gives up its memory, and ends its processes."""
        ...
