"""The runner of small models: reference.py over a pool of blocks in NumPy. No torch."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference_backend.config import ModelConfig
from inference_backend.engine.runner import BLOCK_TOKENS, Chunk
from inference_backend.errors import CheckpointError
from inference_backend.reference import Reference, Segment, Weights

Array: TypeAlias = NDArray[Any]


class ReferenceRunner:
    """See `Runner`. `latents` is [layers, blocks * block_tokens, L]; memory is taken as blocks are first written."""

    failure = ""

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        block_count: int,
        *,
        dtype: Any = np.float32,
        block_tokens: int = BLOCK_TOKENS,
    ) -> None:
        self.config, self.block_count, self._block_tokens = config, block_count, block_tokens
        self._model = Reference(config, weights, dtype=dtype)
        self._latents = np.zeros((config.num_hidden_layers, block_count * block_tokens, config.latent_dim), dtype)

    def forward(self, chunks: Sequence[Chunk]) -> Array:
        segments = [
            Segment(chunk.tokens, PagedCache(self._latents, chunk, self._block_tokens), chunk.logits)
            for chunk in chunks
        ]
        return np.asarray(self._model.forward(segments), np.float32)

    def copy_block(self, source: int, target: int) -> None:
        self._block(target)[...] = self._block(source)

    def read_block(self, block: int) -> bytes:
        return self._block(block).tobytes()

    def write_block(self, block: int, data: bytes) -> None:
        into = self._block(block)
        if len(data) != into.nbytes:
            raise CheckpointError(f"a block of the cache has {into.nbytes:,} bytes, not {len(data):,}")
        into[...] = np.frombuffer(data, into.dtype).reshape(into.shape)

    def close(self) -> None:
        self._latents = self._latents[:, :0]

    def _block(self, block: int) -> Array:
        start = block * self._block_tokens
        return self._latents[:, start : start + self._block_tokens]


class PagedCache:
    """One sequence in the pool for one step, as reference.Cache. Blocks that follow one another are read where they lie; others
    are gathered run by run."""

    def __init__(self, latents: Array, chunk: Chunk, block_tokens: int) -> None:
        self._latents, self.length = latents, chunk.start
        self._end = chunk.start + len(chunk.tokens)
        held = np.asarray(chunk.blocks[: -(-self._end // block_tokens)])
        breaks = [0, *(np.flatnonzero(np.diff(held) != 1) + 1).tolist(), len(held)]
        self._runs = []  # (position of the first token, first row, row after the last)
        for first, after in pairwise(breaks):
            start, row = first * block_tokens, int(held[first]) * block_tokens
            self._runs.append((start, row, row + min(after * block_tokens, self._end) - start))

    def extend(self, layer: int, latent_tl: Array) -> Array:
        rows = self._latents[layer]
        for start, row, after in reversed(self._runs):
            end = start + after - row
            skipped = max(self.length - start, 0)
            rows[row + skipped : after] = latent_tl[start + skipped - self.length : end - self.length]
            if start <= self.length:
                break
        if len(self._runs) == 1:
            _, row, after = self._runs[0]
            return rows[row:after]
        return np.concatenate([rows[row:after] for _, row, after in self._runs])
