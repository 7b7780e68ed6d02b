"""Tokens come from the distribution that the parameters describe, and from nothing else than row, seed and position."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_backend.engine.request import SamplingParams
from inference_backend.engine.sampler import NONE, Row, philox, sample, uniforms
from inference_backend.errors import RequestError

VOCAB, NUCLEUS = 24, 1024
PARAMS = {
    "plain": SamplingParams(),
    "cold": SamplingParams(temperature=0.6),
    "hot": SamplingParams(temperature=2.0),
    "nucleus": SamplingParams(top_p=0.8),
    "top-k": SamplingParams(top_k=5),
    "both": SamplingParams(top_k=7, top_p=0.7),
    "min-p": SamplingParams(min_p=0.2),
    "as recommended": SamplingParams(temperature=1.0, top_p=0.95),
    "bias": SamplingParams(logit_bias={3: 2.0, 4: -100}),
}


def distribution(logits: np.ndarray, params: SamplingParams) -> np.ndarray:
    """Written down apart from the sampler: sorts everything."""
    x = logits.astype(np.float64)
    for token, bias in params.logit_bias.items():
        x[token] += bias
    p = np.exp((x - x.max()) / params.temperature)
    p /= p.sum()
    order = np.argsort(-p)
    kept = order[: params.top_k or len(p)]
    share = np.cumsum(p[kept]) / p[kept].sum()
    kept = kept[: int(np.searchsorted(share, params.top_p)) + 1] if params.top_p < 1 else kept
    kept = kept[p[kept] >= params.min_p * p.max()]
    out = np.zeros_like(p)
    out[kept] = p[kept] / p[kept].sum()
    return out


@pytest.mark.parametrize("name", PARAMS)
def test_the_distribution_is_exact(name: str) -> None:
    """Chi-square over 10,000 positions of one seed; the quantile is that of one in a million."""
    params, count = PARAMS[name], 10_000
    logits = np.random.default_rng(7).normal(0, 1.5, VOCAB).astype(np.float32)
    tokens, _ = sample(np.tile(logits, (count, 1)), [Row(params, 11, position) for position in range(count)])
    expected = distribution(logits, params) * count
    found = np.bincount(tokens, minlength=VOCAB)
    assert not found[expected == 0].any()
    rare = expected < 8
    pairs = [*zip(found[~rare], expected[~rare], strict=True), (found[rare].sum(), expected[rare].sum())]
    chi2 = sum((f - e) ** 2 / e for f, e in pairs if e > 0)
    freedom = max(len([1 for _, e in pairs if e > 0]) - 1, 1)
    wilson_hilferty = freedom * (1 - 2 / (9 * freedom) + 4.75 * math.sqrt(2 / (9 * freedom))) ** 3
    assert chi2 < max(wilson_hilferty, 24)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 50), st.sampled_from(sorted(PARAMS)))
def test_a_token_does_not_depend_on_the_batch(seed: int, position: int, place: int, name: str) -> None:
    logits = np.random.default_rng(place).normal(0, 2, (8, VOCAB)).astype(np.float32)
    row = Row(PARAMS[name], seed, position)
    (alone,), _ = sample(logits[:1].copy(), [row])
    others = [Row(list(PARAMS.values())[i % len(PARAMS)], i, i) for i in range(7)]
    place %= 8
    mixed = np.concatenate([logits[1 : 1 + place], logits[:1], logits[1 + place :]])
    tokens, _ = sample(mixed, [*others[:place], row, *others[place:]])
    assert tokens[place] == alone


def test_a_large_vocabulary_takes_the_same_path() -> None:
    """Where the nucleus is larger than what is looked at first, all tokens are sorted."""
    size = 4 * NUCLEUS
    flat = np.zeros(size, np.float32)
    flat[: size // 2] = 1e-3
    steep = np.random.default_rng(0).normal(0, 4, size).astype(np.float32)
    for logits in (flat, steep):
        for params in (SamplingParams(top_p=0.9), SamplingParams(top_k=3 * NUCLEUS), SamplingParams(top_k=2 * NUCLEUS, top_p=0.5),
                       SamplingParams(top_k=20, top_p=0.5)):  # fmt: skip
            tokens, _ = sample(np.tile(logits, (300, 1)), [Row(params, 1, position) for position in range(300)])
            expected = distribution(logits, params)
            least = expected[expected > 0].min()  # tokens as probable as the last one kept are kept
            plain = distribution(logits, SamplingParams())
            floor = plain[expected > 0].min()
            assert (plain[tokens] >= floor * (1 - 1e-6)).all()
            assert least > 0


def test_greedy_takes_the_lowest_of_equal_ones() -> None:
    logits = np.zeros((2, VOCAB), np.float32)
    logits[1, [5, 9]] = 3
    assert sample(logits, [Row(SamplingParams(temperature=0), 0, 0)] * 2)[0] == [0, 5]
    logits[0, :] = [3] * 4 + [0] * 20
    assert sample(logits[:1], [Row(SamplingParams(top_k=1, temperature=1e-9), s, 0) for s in (1,)])[0][0] in range(4)


def test_penalties() -> None:
    params = SamplingParams(temperature=0, presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=2.0)
    logits = np.array([[4.0, 3.0, 2.0, -1.0]], np.float32)
    sample(logits, [Row(params, 0, 0, None, [1, 3], [0, 0])])
    np.testing.assert_allclose(logits, [[4 / 2 - 0.5 - 0.5, 3 / 2, 2.0, -2.0]])


def test_what_is_masked_never_comes() -> None:
    mask = np.zeros(VOCAB, bool)
    mask[[4, 8]] = True
    logits = np.random.default_rng(1).normal(0, 3, (500, VOCAB)).astype(np.float32)
    tokens, _ = sample(logits, [Row(SamplingParams(), 3, i, mask) for i in range(500)])
    assert set(tokens) == {4, 8}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_where_nothing_can_follow_there_is_no_token(temperature: float) -> None:
    params = SamplingParams(temperature=temperature, logprobs=2)
    logits = np.zeros((4, VOCAB), np.float32)
    logits[1, 3], logits[2, 5] = np.nan, np.inf
    rows = [Row(params, 0, 0, np.zeros(VOCAB, bool)), Row(params, 0, 0), Row(params, 0, 0), Row(params, 0, 0)]
    tokens, logprobs = sample(logits, rows)
    assert tokens[:3] == [NONE] * 3
    assert tokens[3] != NONE
    assert logprobs[:3] == [None] * 3


def test_logprobs_are_the_models_own() -> None:
    logits = np.random.default_rng(2).normal(0, 2, (1, VOCAB)).astype(np.float32)
    logits[0, [6, 17]] = 9  # equal: the lower id comes first
    p = distribution(logits[0], SamplingParams())
    mask = np.zeros(VOCAB, bool)
    mask[3] = True
    (token,), (found,) = sample(logits, [Row(SamplingParams(temperature=0.3, top_k=2, logprobs=3), 0, 0, mask)])
    assert token == 3
    assert found is not None
    assert found.logprob == pytest.approx(math.log(p[3]))
    assert [i for i, _ in found.top[:2]] == [6, 17]
    assert found.top[2][1] == pytest.approx(math.log(np.sort(p)[-3]))


def test_philox_is_that_of_the_paper() -> None:
    """The known answers of Random123's distribution (kat_vectors, philox4x32 10)."""
    known = [
        ([0] * 4, [0] * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]
    for counter, key, answer in known:
        words = philox([np.array([c], np.uint64) for c in counter], [np.array([k], np.uint64) for k in key])
        assert " ".join(f"{int(word[0]):08x}" for word in words) == answer


def test_uniforms_are_uniform() -> None:
    u = uniforms([5] * 20_000, list(range(20_000)))
    assert 0 <= u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.03
    assert len(set(uniforms([5, 6, -1], [7, 7, 7]).tolist())) == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [("temperature", -1), ("temperature", math.nan), ("top_p", 1.1), ("top_k", -1), ("min_p", 2), ("seed", 1 << 64),
     ("max_tokens", 0), ("logprobs", 21), ("presence_penalty", 3), ("repetition_penalty", 0), ("logit_bias", {1: math.inf})],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(RequestError, match=field):
        SamplingParams(**{field: value})


@pytest.mark.parametrize("temperature", [5e-324, 1e-50, 1e-45, 1e-30])
def test_a_temperature_too_small_for_float32_takes_the_best(temperature: float) -> None:
    rows = [Row(SamplingParams(temperature=temperature, top_p=top_p), 1, 5) for top_p in (1, 0.5, 0)]
    logits = np.array([[1, 3, 2.5, -9]] * 3, np.float32)
    assert sample(logits, rows)[0] == [1, 1, 1]
