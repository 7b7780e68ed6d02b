"""From logits to tokens, for all rows of a step at once. N rows, W vocabulary.

A token depends on its own row, its request's seed and its position alone: never on what else is in the batch, nor on how many
steps led there. Random numbers are a pure function of (seed, position): Philox4x32-10 (Salmon et al., "Parallel random numbers:
as easy as 1, 2, 3", SC 2011).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from inference_backend.engine.request import SamplingParams, TokenLogprob

Array: TypeAlias = NDArray[Any]
FLOORS = (-4.0, -8.0)
"""Top-k and top-p look at tokens with scaled logits above these, below the best one's, before they look at all."""
LEAST_TEMPERATURE = 1e-30
"""Those below it would be 0 as float32; here already only the best tokens can be drawn."""
NONE = -1
"""In place of a token where there is none: the constraint allows nothing, or the logits are no numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """Where a row of logits comes from: the request's parameters and seed, and the position of the token that it is for.

    `mask` is what the constraint allows, [W]. `prompt` and `output` are the tokens before, needed for penalties alone.
    """

    params: SamplingParams
    seed: int
    position: int
    mask: Array | None = None
    prompt: Sequence[int] = ()
    output: Sequence[int] = ()


def sample(logits_nw: Array, rows: Sequence[Row]) -> tuple[list[int], list[TokenLogprob | None]]:
    """A token for each row, NONE where there is none; and its logprobs where the row wants them.

    Changes logits_nw, which is float32.
    """
    raw = {i: _log_softmax(logits_nw[i]) for i, row in enumerate(rows) if row.params.logprobs is not None}
    for x_w, row in zip(logits_nw, rows, strict=True):
        _shape(x_w, row)
    best_n = np.argmax(logits_nw, axis=1)  # a NaN wins; of equal ones, the first
    tokens_n = np.where(np.isfinite(logits_nw[np.arange(len(rows)), best_n]), best_n, NONE)
    drawn = [i for i, row in enumerate(rows) if row.params.temperature > 0 and tokens_n[i] != NONE]
    if drawn:
        tokens_n[drawn] = _draw(logits_nw[drawn], [rows[i] for i in drawn])
    logprobs: list[TokenLogprob | None] = [None] * len(rows)
    for i, lp_w in raw.items():
        if tokens_n[i] != NONE:
            logprobs[i] = TokenLogprob(float(lp_w[tokens_n[i]]), _top(lp_w, rows[i].params.logprobs or 0))
    return tokens_n.tolist(), logprobs


def _shape(x_w: Array, row: Row) -> None:
    """Penalties, bias and constraint, in place."""
    params = row.params
    if params.has_penalties:
        counts_w = np.bincount(np.asarray(row.output, np.int64), minlength=len(x_w))
        said = np.flatnonzero(counts_w)
        if params.repetition_penalty != 1.0:
            seen = np.union1d(said, np.asarray(row.prompt, np.int64))
            x = x_w[seen]
            x_w[seen] = np.where(x > 0, x / params.repetition_penalty, x * params.repetition_penalty)
        x_w[said] -= params.presence_penalty + params.frequency_penalty * counts_w[said]
    for token, bias in params.logit_bias.items():
        x_w[token] += bias
    if row.mask is not None:
        x_w[~row.mask] = -np.inf


def _draw(x_nw: Array, rows: Sequence[Row]) -> Array:
    """One token of each row's distribution by inverting its cumulative distribution, in order of token ids."""
    x_nw -= x_nw.max(axis=1, keepdims=True)
    with np.errstate(over="ignore"):  # a temperature near 0 makes all but the best -inf
        x_nw /= np.array([max(row.params.temperature, LEAST_TEMPERATURE) for row in rows], np.float32)[:, None]
    u_n = uniforms([row.seed for row in rows], [row.position for row in rows])
    return np.array([_invert(x_w, _threshold(x_w, row.params), u) for x_w, row, u in zip(x_nw, rows, u_n, strict=True)])


def _invert(x_w: Array, least: float, u: float) -> int:
    """The first token up to which, of all that are not below `least`, more than the share u of the probability lies."""
    ids = np.flatnonzero(x_w >= least) if least > -np.inf else None
    upto = np.cumsum(np.exp(x_w if ids is None else x_w[ids]).astype(np.float64))
    target = min(u * upto[-1], np.nextafter(upto[-1], 0))
    at = int(np.searchsorted(upto, target, side="right"))
    return at if ids is None else int(ids[at])


def _threshold(x_w: Array, params: SamplingParams) -> float:
    """The least scaled logit of a row (whose largest is 0) that can still be drawn."""
    least = -np.inf
    if params.top_p < 1 or 0 < params.top_k < len(x_w):
        least = _nucleus(x_w, params.top_k or len(x_w), params.top_p)
    if params.min_p > 0:
        least = max(least, float(np.float32(np.log(params.min_p))))
    return least


def _nucleus(x_w: Array, top_k: int, top_p: float) -> float:
    """The smallest scaled logit of the fewest tokens, among the top_k, whose probabilities add up to top_p of theirs."""
    cut = top_k < len(x_w)
    total = 0.0 if cut else float(np.exp(x_w).sum(dtype=np.float64))
    best = x_w
    for floor in FLOORS:  # few tokens are worth being sorted
        above = x_w[x_w >= floor]
        if len(above) >= top_k if cut else np.exp(above).sum(dtype=np.float64) >= top_p * total:
            best = above
            break
    best = np.sort(best)[::-1][:top_k]
    if top_p == 1:
        return float(best[-1])
    upto = np.cumsum(np.exp(best), dtype=np.float64)
    enough = int(np.searchsorted(upto, top_p * (upto[-1] if cut else total)))
    return float(best[min(enough, len(best) - 1)])


def _log_softmax(x_w: Array) -> Array:
    x_w = x_w.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of logits that are no numbers: sample() finds no token there
        x_w -= x_w.max()
        return x_w - np.log(np.exp(x_w).sum())


def _top(lp_w: Array, count: int) -> tuple[tuple[int, float], ...]:
    """The `count` most probable tokens, best first, the lower id of equal ones first."""
    if count == 0:
        return ()
    least = np.partition(lp_w, len(lp_w) - count)[len(lp_w) - count]
    ids = np.flatnonzero(lp_w >= least)
    ids = ids[np.argsort(-lp_w[ids], kind="stable")][:count]
    return tuple((int(i), float(lp_w[i])) for i in ids)


def uniforms(seeds: Sequence[int], positions: Sequence[int]) -> Array:
    """Numbers in [0, 1) with 53 random bits, each a function of its seed (64 bits) and position."""
    low = np.uint64(0xFFFFFFFF)
    key = np.array([seed % (1 << 64) for seed in seeds], np.uint64)
    at = np.array(positions, np.uint64)
    zero = np.zeros_like(at)
    words = philox([at & low, at >> np.uint64(32), zero, zero], [key & low, key >> np.uint64(32)])
    bits = (words[0] << np.uint64(21)) | (words[1] >> np.uint64(11))
    return bits.astype(np.float64) * 2.0**-53


def philox(counter: Sequence[Array], key: Sequence[Array]) -> list[Array]:
    """Philox4x32-10: four words of random bits from four words of counter and two of key, 32 bits each, kept in uint64."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c1, c2, c3 = (second >> shift) ^ c1 ^ k0, second & low, (first >> shift) ^ c3 ^ k1, first & low
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return [c0, c1, c2, c3]
