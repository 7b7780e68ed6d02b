"""How a model is spread over the GPUs of one host: attention by heads, MLPs by channels, routed experts by number.

Every rank runs the same steps on the same tokens. Hidden states are summed over the ranks in float32 (in bfloat16 the sum of
eight ranks loses a digit that the single-rank model has). Latents are the same on every rank, and so is the cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among the ranks of torch.distributed's default group; (0, 1) needs no group."""

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """This rank's part of `count` equal things. `count` must be a multiple of the number of ranks."""
        if count % self.size:
            raise ValueError(f"{count} cannot be shared by {self.size} ranks")
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def sum(self, x: Tensor) -> Tensor:
        """The sum over all ranks, in float32; of one rank, `x` itself."""
        if self.size == 1:
            return x
        wide = x.float().contiguous()
        torch.distributed.all_reduce(wide)
        return wide

    def join(self, x: Tensor) -> Tensor:
        """The ranks' parts of the last axis side by side."""
        if self.size == 1:
            return x
        parts = [torch.empty_like(x) for _ in range(self.size)]
        torch.distributed.all_gather(parts, x.contiguous())
        return torch.cat(parts, dim=-1)


ALONE = Ranks()
