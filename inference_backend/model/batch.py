"""One step's tokens as tensors: where they lie in the cache, and how each sequence attends. Explicit, never global."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Decoding:
    """The sequences with one new token: `tokens` [B] int64 are their places in the step."""

    tokens: Tensor
    tables: Tensor  # [B, M] int32, blocks; rows are padded with the sequence's last block
    lengths: Tensor  # [B] int32, the new token counted


@dataclass(frozen=True, slots=True)
class Piece:
    """A sequence with several new tokens: `begin` to `end` in the step, at positions from `start` on."""

    begin: int
    end: int
    start: int
    table: Tensor  # [M] int32


@dataclass(frozen=True, slots=True)
class Batch:
    tokens: Tensor  # [T] int64
    slots: Tensor  # [T] int64: rows of the cache, blocks laid end to end
    cos: Tensor  # [T, R / 2] float32
    sin: Tensor
    wanted: Tensor  # int64: the tokens whose logits are wanted
    decoding: Decoding | None
    pieces: Sequence[Piece]


def make_batch(
    chunks: Sequence[tuple[Sequence[int], int, Sequence[int], int]], block: int, inv_freq: Tensor, rope_scale: float
) -> Batch:
    """`chunks` are (tokens, start, blocks, logits) as `engine.runner.Chunk` describes them; `block` is the tokens per block.

    `inv_freq` [R / 2] is float64: at 256k positions float32 has lost three digits of the angle.
    """
    device = inv_freq.device
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    wanted: list[int] = []
    single: list[tuple[int, Sequence[int], int]] = []
    pieces: list[Piece] = []
    for new, start, blocks, logits in chunks:
        begin, end = len(tokens), len(tokens) + len(new)
        tokens.extend(new)
        positions.extend(range(start, start + len(new)))
        slots.extend(blocks[p // block] * block + p % block for p in range(start, start + len(new)))
        wanted.extend(range(end - logits, end))
        if len(new) == 1:
            single.append((begin, blocks, start + 1))
        else:
            pieces.append(Piece(begin, end, start, torch.tensor(blocks, dtype=torch.int32, device=device)))
    angles = torch.tensor(positions, dtype=torch.float64, device=device)[:, None] * inv_freq
    return Batch(
        torch.tensor(tokens, device=device),
        torch.tensor(slots, device=device),
        (angles.cos() * rope_scale).float(),
        (angles.sin() * rope_scale).float(),
        torch.tensor(wanted, dtype=torch.int64, device=device),
        _decoding(single, block, device) if single else None,
        pieces,
    )


def _decoding(single: list[tuple[int, Sequence[int], int]], block: int, device: torch.device) -> Decoding:
    used = [blocks[: -(-length // block)] for _, blocks, length in single]
    longest = max(map(len, used))
    padded = [[*blocks, *[blocks[-1]] * (longest - len(blocks))] for blocks in used]
    return Decoding(
        torch.tensor([place for place, _, _ in single], device=device),
        torch.tensor(padded, dtype=torch.int32, device=device),
        torch.tensor([length for _, _, length in single], dtype=torch.int32, device=device),
    )
