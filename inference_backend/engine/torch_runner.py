"""The torch model as a runner: its cache is one tensor of blocks per layer."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_backend.engine.runner import BLOCK_TOKENS, Chunk
from inference_backend.errors import CheckpointError
from inference_backend.model import graphs
from inference_backend.model.batch import Batch, make_batch
from inference_backend.model.model import Model


class TorchRunner:
    """`model` with room for `block_count` blocks of 64 tokens, in the type of the model's activations.

    Of a split cache, this rank holds its share of them. One block more is spare: nobody reads it.
    """

    failure = ""

    def __init__(self, model: Model, block_count: int) -> None:
        self.config, self.block_count, self._model = model.config, block_count, model
        self._ranks = model.ranks
        self._spare = -(-block_count // self._ranks.size) if self._ranks.split else block_count
        shape = (self._spare + 1, BLOCK_TOKENS, model.config.latent_dim)
        self._caches = [model.embedding.new_zeros(shape) for _ in range(model.config.num_hidden_layers)]
        self._run: Callable[[Batch], Tensor] = partial(model.forward, caches=self._caches)
        if graphs.wanted(model.embedding.device):
            longest = min(-(-model.config.max_position_embeddings // BLOCK_TOKENS), self._spare)
            self._run = graphs.DecodeGraphs(model, self._caches, longest, self._spare, BLOCK_TOKENS).forward

    def forward(self, chunks: Sequence[Chunk]) -> NDArray[Any]:
        parts = [(each.tokens, each.start, each.blocks, each.logits) for each in chunks]
        model = self._model
        batch = make_batch(
            parts, BLOCK_TOKENS, model.inv_freq, model.rope_scale, ranks=self._ranks, spare=self._spare
        )  # fmt: skip
        return self._run(batch).cpu().numpy()

    def copy_block(self, source: int, target: int) -> None:
        """Of a split cache, every rank makes the call: the block may move from one to another."""
        here, there = self._ranks.place(source), self._ranks.place(target)
        if here is not None and there is not None:
            for cache in self._caches:
                cache[there] = cache[here]
        elif self._ranks.owner(source) != self._ranks.owner(target):
            rows = torch.stack([cache[self._spare if here is None else here] for cache in self._caches])
            torch.distributed.broadcast(rows, self._ranks.owner(source))
            if there is not None:
                self._put(there, rows)

    def read_block(self, block: int) -> bytes:
        place = self._place(block)
        rows = torch.stack([cache[place] for cache in self._caches]).cpu()
        return rows.contiguous().view(torch.uint8).numpy().tobytes()

    def write_block(self, block: int, data: bytes) -> None:
        self.check_block(data)
        like = self._caches[0]
        rows = torch.frombuffer(bytearray(data), dtype=like.dtype)
        self._put(self._place(block), rows.view(len(self._caches), *like.shape[1:]))

    def check_block(self, data: bytes) -> None:
        """Raises CheckpointError where this is no block of the cache."""
        like = self._caches[0]
        size = len(self._caches) * like[0].numel() * like.element_size()
        if len(data) != size:
            raise CheckpointError(f"a block of the cache has {len(data)} bytes, not {size}")

    def close(self) -> None:
        self._caches.clear()

    def _place(self, block: int) -> int:
        place = self._ranks.place(block)
        assert place is not None, "another rank has this block"
        return place

    def _put(self, place: int, rows: Tensor) -> None:
        for cache, layer in zip(self._caches, rows, strict=True):
            cache[place] = layer.to(cache.device)
