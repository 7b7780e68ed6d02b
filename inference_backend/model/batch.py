"""One step's tokens as tensors: where they lie in the cache, and how each sequence attends. Explicit, never global.

Where the cache is split over ranks, tables name the blocks that this rank has, in order, lengths count the rows in them, and what
another rank writes goes to a spare block that nobody reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.model.parallel import ALONE, Ranks


@dataclass(frozen=True, slots=True)
class Decoding:
    """The sequences with one new token: `tokens` [B] int64 are their places in the step."""

    tokens: Tensor
    tables: Tensor  # [B, M] int32, blocks; rows are padded with any block
    lengths: Tensor  # [B] int32, the new token counted


@dataclass(frozen=True, slots=True)
class Piece:
    """A sequence with several new tokens: `begin` to `end` in the step, at positions from `start` on."""

    begin: int
    end: int
    start: int
    table: Tensor  # [M] int32; of a split cache, as long on every rank
    seen: Tensor  # [end - begin] int32: the rows of the table that each token sees
    order: (
        Tensor | None
    )  # [blocks] int64, of a split cache: where each block lies in the tables of all ranks end to end


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
    chunks: Sequence[tuple[Sequence[int], int, Sequence[int], int]],
    block: int,
    inv_freq: Tensor,
    rope_scale: float,
    *,
    ranks: Ranks = ALONE,
    spare: int = 0,
) -> Batch:
    """`chunks` are (tokens, start, blocks, logits) as `engine.runner.Chunk` describes them; `block` is the tokens per block.

    `inv_freq` [R / 2] is float64: at 256k positions float32 has lost three digits of the angle. `spare` is a block of this rank.
    """
    device = inv_freq.device
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    wanted: list[int] = []
    single: list[tuple[int, list[int], int]] = []
    pieces: list[Piece] = []
    for new, start, blocks, logits in chunks:
        begin, end, last = len(tokens), len(tokens) + len(new), start + len(new)
        used = blocks[: -(-last // block)]
        tokens.extend(new)
        positions.extend(range(start, last))
        written = {p: _place(ranks, used[p], spare) for p in range(start // block, len(used))}
        slots.extend(written[p // block] * block + p % block for p in range(start, last))
        wanted.extend(range(end - logits, end))
        seen = _seen(ranks, used, range(start + 1, last + 1), block)
        if len(new) == 1:
            single.append((begin, ranks.held(used) or [spare], seen[0]))
        else:
            pieces.append(_piece(ranks, begin, end, start, used, seen, spare, device))
    angles = torch.tensor(positions, dtype=torch.float64, device=device)[:, None] * inv_freq
    return Batch(
        torch.tensor(tokens, device=device),
        torch.tensor(slots, device=device),
        (angles.cos() * rope_scale).float(),
        (angles.sin() * rope_scale).float(),
        torch.tensor(wanted, dtype=torch.int64, device=device),
        _decoding(single, device) if single else None,
        pieces,
    )


def _place(ranks: Ranks, block: int, spare: int) -> int:
    place = ranks.place(block)
    return spare if place is None else place


def _seen(ranks: Ranks, blocks: Sequence[int], lengths: Sequence[int], block: int) -> Sequence[int]:
    """How many of the first `length` rows this rank has, for each of `lengths`, of which the first is the least."""
    if not ranks.split:
        return lengths
    whole = lengths[0] // block
    counts = [block * len(ranks.held(blocks[:whole]))]
    for each in blocks[whole:]:
        more = [0] * block if ranks.place(each) is None else range(1, block + 1)
        counts += [counts[-1] + rows for rows in more]
    return [counts[length - whole * block] for length in lengths]


def _piece(
    ranks: Ranks, begin: int, end: int, start: int, blocks: Sequence[int], seen: Sequence[int], spare: int,
    device: torch.device,
) -> Piece:  # fmt: skip
    table, order = ranks.held(blocks), None
    if ranks.split:
        places: list[list[int]] = [[] for _ in range(ranks.size)]
        for number, each in enumerate(blocks):
            places[ranks.owner(each)].append(number)
        most = max(map(len, places))
        table += [spare] * (most - len(table))
        order = torch.empty(len(blocks), dtype=torch.int64)
        for rank, numbers in enumerate(places):
            order[numbers] = torch.arange(rank * most, rank * most + len(numbers))
        order = order.to(device)
    return Piece(
        begin, end, start,
        torch.tensor(table, dtype=torch.int32, device=device),
        torch.tensor(seen, dtype=torch.int32, device=device),
        order,
    )  # fmt: skip


def _decoding(single: list[tuple[int, list[int], int]], device: torch.device) -> Decoding:
    longest = max(len(blocks) for _, blocks, _ in single)
    padded = [[*blocks, *[blocks[-1]] * (longest - len(blocks))] for _, blocks, _ in single]
    return Decoding(
        torch.tensor([place for place, _, _ in single], device=device),
        torch.tensor(padded, dtype=torch.int32, device=device),
        torch.tensor([length for _, _, length in single], dtype=torch.int32, device=device),
    )
