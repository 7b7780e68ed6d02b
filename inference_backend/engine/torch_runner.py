"""The torch model as a runner: its cache is one tensor of blocks per layer."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from inference_backend.engine.runner import BLOCK_TOKENS, Chunk
from inference_backend.errors import CheckpointError
from inference_backend.model.batch import make_batch
from inference_backend.model.model import Model


class TorchRunner:
    """`model` with room for `block_count` blocks of 64 tokens, in the type of the model's activations."""

    def __init__(self, model: Model, block_count: int) -> None:
        self.config, self.block_count, self._model = model.config, block_count, model
        shape = (block_count, BLOCK_TOKENS, model.config.latent_dim)
        like = model.embedding
        self._caches = [like.new_zeros(shape) for _ in range(model.config.num_hidden_layers)]

    def forward(self, chunks: Sequence[Chunk]) -> NDArray[Any]:
        parts = [(each.tokens, each.start, each.blocks, each.logits) for each in chunks]
        batch = make_batch(parts, BLOCK_TOKENS, self._model.inv_freq, self._model.rope_scale)
        return self._model.forward(batch, self._caches).cpu().numpy()

    def copy_block(self, source: int, target: int) -> None:
        for cache in self._caches:
            cache[target] = cache[source]

    def read_block(self, block: int) -> bytes:
        rows = torch.stack([cache[block] for cache in self._caches]).cpu()
        return rows.contiguous().view(torch.uint8).numpy().tobytes()

    def write_block(self, block: int, data: bytes) -> None:
        shape = (len(self._caches), *self._caches[0].shape[1:])
        size = self._caches[0].element_size()
        if len(data) != int(np.prod(shape)) * size:
            raise CheckpointError(f"a block of the cache has {len(data)} bytes, not {int(np.prod(shape)) * size}")
        rows = torch.frombuffer(bytearray(data), dtype=self._caches[0].dtype).view(shape)
        for cache, layer in zip(self._caches, rows, strict=True):
            cache[block] = layer.to(cache.device)
