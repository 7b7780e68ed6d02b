"""Decoding as CUDA graphs: the launches of one step are recorded once per size, and then started all together.

A step that decodes has hundreds of launches of a few microseconds each; started one by one from Python they take longer than they
run. A graph has fixed shapes and addresses: steps are padded to the next of `SIZES`, their numbers copied into the graph's own
tensors. Rows that pad write to the spare block, which nobody reads, and their logits are dropped. Without CUDA nothing here runs
but `Padded`, which is ordinary tensors. `KIMI_GRAPHS=off` records nothing.
"""

import os
import sys
from bisect import bisect_left
from typing import Any

import torch
from torch import Tensor

from inference_backend.errors import EngineError
from inference_backend.kernels.dispatch import backend
from inference_backend.model.batch import Batch, Decoding
from inference_backend.model.model import Model

SETTING = "KIMI_GRAPHS"
SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Sequences of one step."""
WARM_UPS = 2
"""Steps before the recording: kernels are compiled and tuned, libraries get their workspaces."""


def wanted(device: torch.device) -> bool:
    """Whether steps on this device are recorded: kernels without CUDA, and the references, wait for the host in between."""
    setting = os.environ.get(SETTING) or "on"
    if setting not in ("on", "off"):
        raise EngineError(f"{SETTING}={setting!r} is neither on nor off", f"unset {SETTING}")
    return setting == "on" and device.type == "cuda" and backend(device) == "triton"


def fits(batch: Batch) -> bool:
    """A step that only decodes: one token of each sequence, whose logits are all wanted."""
    return not batch.pieces and len(batch.wanted) == len(batch.tokens) <= SIZES[-1]


def size_for(count: int) -> int:
    """The least of `SIZES` that holds so many sequences."""
    return SIZES[bisect_left(SIZES, count)]


class Padded:
    """A step of `size` sequences in tensors that stay where they are. `batch` is what the model takes."""

    def __init__(self, size: int, like: Batch, blocks: int, spare: int, block_tokens: int) -> None:
        """`like` gives types and widths; a sequence has at most `blocks` blocks; `spare` is the block that nobody reads."""
        device = like.tokens.device
        rows = torch.arange(size, device=device)
        self._spare, self._spare_slots = spare, spare * block_tokens + rows % block_tokens
        tables = torch.full((size, blocks), spare, dtype=torch.int32, device=device)
        self.decoding = Decoding(rows, tables, torch.ones(size, dtype=torch.int32, device=device))
        self.batch = Batch(
            torch.zeros(size, dtype=torch.int64, device=device),
            self._spare_slots.clone(),
            like.cos.new_zeros(size, like.cos.shape[1]),
            like.sin.new_zeros(size, like.sin.shape[1]),
            rows,
            self.decoding,
            [],
        )

    def fill(self, step: Batch) -> None:
        """Puts a step that `fits` in the first rows; the others pad: one token that sees one row of the spare block."""
        count, into, own = len(step.tokens), self.batch, self.decoding
        given = step.decoding
        assert given is not None
        for target, source in (
            (into.tokens, step.tokens), (into.slots, step.slots), (into.cos, step.cos), (into.sin, step.sin),
            (own.lengths, given.lengths),
        ):  # fmt: skip
            target[:count].copy_(source)
        own.tables[:count, : given.tables.shape[1]].copy_(given.tables)
        into.slots[count:].copy_(self._spare_slots[count:])
        own.lengths[count:].fill_(1)
        own.tables[count:, :1].fill_(self._spare)


class DecodeGraphs:
    """One graph per size, recorded when a step first needs it. Every rank records at the same step, as all run the same ones."""

    def __init__(self, model: Model, caches: list[Tensor], blocks: int, spare: int, block_tokens: int) -> None:
        self._model, self._caches = model, caches
        self._shape = (blocks, spare, block_tokens)
        self._graphs: dict[int, tuple[Padded, Any, Tensor]] = {}
        self._stream: Any = None
        self._pool: Any = None  # the graphs' memory: they never run at once, so that they share it
        self._broken = False

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def forward(self, step: Batch) -> Tensor:
        """As `Model.forward`. The logits are good until the next call."""
        if self._broken or not fits(step):
            return self._model.forward(step, self._caches)
        size = size_for(len(step.tokens))
        with torch.cuda.device(step.tokens.device):
            if size not in self._graphs:
                try:
                    self._graphs[size] = self._record(size, step)
                except RuntimeError as error:
                    self._broken = True
                    sys.stderr.write(f"warning: decoding goes on without CUDA graphs: {str(error)[:200]}\n")
                    return self._model.forward(step, self._caches)
            padded, graph, logits = self._graphs[size]
            padded.fill(step)
            graph.replay()
        return logits[: len(step.tokens)]

    def _record(self, size: int, step: Batch) -> tuple[Padded, Any, Tensor]:
        """Warm-ups are real: they write what the step will write again."""
        padded = Padded(size, step, *self._shape)
        padded.fill(step)
        current = torch.cuda.current_stream()
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            for _ in range(WARM_UPS):
                self._model.forward(padded.batch, self._caches)
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that watches nccl asks the driver about events meanwhile
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            logits = self._model.forward(padded.batch, self._caches)
        self._pool = graph.pool()
        return padded, graph, logits
