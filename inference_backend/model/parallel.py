"""How a model is spread over the GPUs of one host: attention by heads, MLPs by channels, routed experts by number.

Every rank runs the same steps on the same tokens. Hidden states are summed over the ranks in float32 (in bfloat16 the sum of
eight ranks loses a digit that the single-rank model has). Latents are the same on every rank, and so is the cache; or it is split
by context: each rank holds every N-th block, so that N ranks hold N times the context.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.errors import RequestError


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among the ranks of torch.distributed's default group; (0, 1) needs no group."""

    rank: int = 0
    size: int = 1
    split: bool = False
    """The blocks of the cache are spread over the ranks."""

    def share(self, count: int) -> slice:
        """This rank's part of `count` equal things. Raises RequestError where they cannot be shared equally."""
        if count % self.size:
            raise RequestError(f"{count} heads, channels or experts cannot be shared by {self.size} ranks")
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def owner(self, block: int) -> int:
        """The rank that holds a block of the cache, where it is split."""
        return block % self.size

    def place(self, block: int) -> int | None:
        """Where a block of the engine's pool lies in this rank's cache; None where another rank has it."""
        if not self.split:
            return block
        return block // self.size if self.owner(block) == self.rank else None

    def held(self, blocks: Sequence[int]) -> list[int]:
        """The places of those of `blocks` that this rank has, in order."""
        if not self.split:
            return list(blocks)
        return [place for block in blocks if (place := self.place(block)) is not None]

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all ranks, in float32; of one rank, `x` itself."""
        if self.size == 1:
            return x
        wide = x.float().contiguous()
        torch.distributed.all_reduce(wide)
        return wide

    def gather(self, x: Tensor) -> list[Tensor]:
        """`x` of every rank, all of one shape."""
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(self.size)]
        torch.distributed.all_gather(parts, x.contiguous())
        return parts

    def join(self, x: Tensor, axis: int = -1) -> Tensor:
        """The ranks' parts of an axis side by side."""
        return x if self.size == 1 else torch.cat(self.gather(x), dim=axis)

    def exchange(self, x: Tensor) -> Tensor:
        """`x` [N, ...]: x[r] goes to rank r; returns what each rank sent to this one, [N, ...]."""
        received = torch.empty_like(x, memory_format=torch.contiguous_format)
        torch.distributed.all_to_all_single(received, x.contiguous())
        return received


ALONE = Ranks()
