"""Several processes that train one model: each has its part of a step's episodes, and all have the same weights.

What a step adds up over its episodes (gradients, loss, loads) is added up over the processes as well, so that the step is that
of one process but for the order of sums. All come to the same bits: sums are the same on each, what one works out is sent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.distributed import ReduceOp

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Group:
    """Number `rank` of `size` processes that have joined with torch.distributed; one alone needs none."""

    rank: int = 0
    size: int = 1

    def own(self, parts: Sequence[T]) -> Sequence[T]:
        """This process's part: neighbours, which are of like length, go to different processes."""
        return parts[self.rank :: self.size]

    def shares(self, parts: Sequence[Sequence[T]]) -> list[Sequence[T]]:
        """This process's share of the parts of a step: whole parts, so far as there are enough for all processes."""
        if self.size <= len(parts):
            return list(parts[self.rank :: self.size])
        mates = range(self.rank % len(parts), self.size, len(parts))  # those who do the same part
        own = parts[mates[0]][mates.index(self.rank) :: len(mates)]
        return [own] if own else []

    def add(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The sums over all processes of tensors of one type: views of one new piece of memory."""
        if self.size == 1:
            return list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        torch.distributed.all_reduce(flat)
        pieces = flat.split([tensor.numel() for tensor in tensors])
        return [piece.view(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]

    def largest(self, tensor: Tensor) -> Tensor:
        """Each number's largest over all processes."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor, ReduceOp.MAX)
        return tensor

    def spread(self, work: Callable[[Tensor], Tensor], stack: Tensor) -> Tensor:
        """work(stack), for work that does every [.., ..] of `stack` [G, .., ..] by itself: each process does its share."""
        if self.size == 1 or len(stack) < self.size:
            return work(stack)
        parts = stack.tensor_split(self.size)
        most = len(parts[0])
        own = work(parts[self.rank])
        padded = (
            torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])]) if len(own) < most else own.contiguous()
        )
        made = [torch.empty_like(padded) for _ in parts]
        torch.distributed.all_gather(made, padded)
        return torch.cat([one[: len(part)] for one, part in zip(made, parts, strict=True)])


ALONE = Group()
