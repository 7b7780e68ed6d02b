"""The NumPy reference is transformers' DeepseekV3 (its norm epsilon mended), whatever the shape and however the tokens arrive."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_house import SHAPES, oracle, random_tokens, random_weights, raw_config, tiny_config
from nightly import examples

from inference_backend.config import read_config
from inference_backend.reference import (
    LatentCache,
    Reference,
    Segment,
    attention_scales,
    rope,
    rotations,
    route,
    yarn_frequencies,
)

CLOSE = {"rtol": 0, "atol": 1e-4}
"""Logits are of size 1 to 10; transformers keeps norms, router and softmax in float32 whatever the type of the model."""


def whole(model: Reference, tokens: list[int]) -> np.ndarray:
    return model.forward([Segment(tokens, model.new_cache(), len(tokens))])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("absorbed", [False, True], ids=["naive", "absorbed"])
def test_equals_transformers(shape: str, absorbed: bool) -> None:
    import torch

    raw = raw_config(**SHAPES[shape])
    config = read_config(raw)
    weights = random_weights(config)
    tokens = random_tokens(config, 33)
    with torch.no_grad():
        expected = oracle(config, weights, raw)(torch.tensor([tokens])).logits[0].numpy()
    found = whole(Reference(config, weights, dtype=np.float64, absorbed=absorbed), tokens)
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_equals_transformers_far_into_the_context() -> None:
    """Positions beyond the original 4,096, where YaRN's slowed frequencies decide."""
    import torch

    raw = raw_config()
    config = tiny_config()
    weights, tokens, far = random_weights(config), random_tokens(config, 20), 200_000
    model = Reference(config, weights, dtype=np.float64)
    cos, sin = rotations(far + np.arange(20), yarn_frequencies(config), 1.0, np.float64)
    inner = oracle(config, weights, raw).model.rotary_emb
    theirs = inner(torch.zeros(1, dtype=torch.float64), torch.arange(far, far + 20)[None])
    half = config.qk_rope_head_dim // 2
    np.testing.assert_allclose(cos, theirs[0][0, :, :half].numpy(), atol=2e-2)  # their angles are float32
    np.testing.assert_allclose(sin, theirs[1][0, :, :half].numpy(), atol=2e-2)
    # rotary attention is relative: the same tokens far out give the same answer as at the beginning
    cache = Shifted(config, far)
    shifted = model.forward([Segment(tokens, cache, 20)])
    np.testing.assert_allclose(shifted, whole(model, tokens), rtol=0, atol=1e-9)


class Shifted(LatentCache):
    """A cache that says it begins far into the context, with nothing before."""

    def __init__(self, config, far: int) -> None:
        super().__init__(config, np.float64)
        self._far, self._inner = far, LatentCache(config, np.float64)
        self.length = far

    def extend(self, layer: int, latent_tl: np.ndarray) -> np.ndarray:
        return self._inner.extend(layer, latent_tl)


@settings(max_examples=examples(20))
@given(cuts=st.lists(st.integers(1, 24), max_size=6), absorbed=st.booleans())
def test_pieces_give_what_the_whole_gives(cuts: list[int], absorbed: bool) -> None:
    """Prefill in chunks of any size, down to one token at a time."""
    config = tiny_config()
    model = Reference(config, random_weights(config), dtype=np.float64, absorbed=absorbed)
    tokens = random_tokens(config, 25)
    edges = sorted({0, *cuts, 25})
    cache, parts = model.new_cache(), []
    for begin, end in pairwise(edges):
        parts.append(model.forward([Segment(tokens[begin:end], cache, end - begin)]))
    np.testing.assert_allclose(np.concatenate(parts), whole(model, tokens), rtol=0, atol=1e-9)
    assert cache.length == 25


def test_sequences_side_by_side_do_not_touch() -> None:
    config = tiny_config()
    model = Reference(config, random_weights(config), dtype=np.float64)
    prompts = [random_tokens(config, n, seed=n) for n in (1, 7, 19)]
    caches = [model.new_cache() for _ in prompts]
    together = model.forward([Segment(p, c, 1) for p, c in zip(prompts, caches, strict=True)])
    alone = np.stack([whole(model, p)[-1] for p in prompts])
    np.testing.assert_allclose(together, alone, atol=1e-10)
    caches[2].truncate(5)
    again = model.forward([Segment(prompts[2][5:], caches[2], 1)])
    np.testing.assert_allclose(again[0], alone[2], atol=1e-10)


def test_a_token_never_sees_a_later_one() -> None:
    config = tiny_config()
    model = Reference(config, random_weights(config), dtype=np.float64)
    tokens = random_tokens(config, 12)
    other = [*tokens[:8], *random_tokens(config, 4, seed=9)]
    np.testing.assert_allclose(whole(model, tokens)[:8], whole(model, other)[:8], atol=1e-12)
    assert np.abs(whole(model, tokens)[8:] - whole(model, other)[8:]).max() > 0.1


def test_yarn_is_what_the_checkpoints_say() -> None:
    """Numbers worked out by hand from K2's constants: rotary dimension 64, base 50,000, original context 4,096."""
    plain = 50000.0 ** (-np.arange(0, 64, 2) / 64)
    thinking, k26, instruct = (read_config(raw_config(**SHAPES[name])) for name in ("K2-Thinking", "K2.6", "Instruct"))
    ratio = plain / yarn_frequencies(thinking)
    np.testing.assert_allclose(ratio, [1.0] * 20 + [64.0] * 12)
    ratio = plain / yarn_frequencies(k26)
    np.testing.assert_allclose(ratio[:9], 1.0)
    np.testing.assert_allclose(ratio[20:], 64.0)
    assert np.all(np.diff(ratio[8:21]) > 0)
    real = {"qk_nope_head_dim": 128, "v_head_dim": 128}
    for shape, scale in ((SHAPES["K2-Thinking"], 0.144679626), (SHAPES["Instruct"], 0.1308608)):
        rope_scale, softmax_scale = attention_scales(read_config(raw_config(**shape, **real)))
        assert rope_scale == 1.0
        assert math.isclose(softmax_scale, scale, rel_tol=1e-6)
    assert instruct.rms_norm_eps == 1e-6


def test_rope_turns_neighbouring_pairs() -> None:
    x = np.array([[1.0, 0.0, 0.0, 1.0]])
    angle = np.array([[math.pi / 2, math.pi / 2]])
    np.testing.assert_allclose(rope(x, np.cos(angle), np.sin(angle)), [[0, 1, -1, 0]], atol=1e-12)


@given(st.integers(0, 2**32 - 1), st.sampled_from([(8, 3, 1, 1), (16, 4, 4, 2), (384, 8, 1, 1)]))
def test_the_bias_chooses_and_never_weighs(seed: int, sizes: tuple[int, int, int, int]) -> None:
    experts, k, groups, kept = sizes
    rng = np.random.default_rng(seed)
    logits, bias = rng.normal(size=(5, experts)), rng.normal(size=experts)
    chosen, weights = route(logits, bias, k, groups=groups, kept_groups=kept, scale=2.827)
    score = 1 / (1 + np.exp(-logits))
    for row in range(5):
        assert len(set(chosen[row])) == k
        np.testing.assert_allclose(weights[row].sum(), 2.827, rtol=1e-9)
        np.testing.assert_allclose(weights[row] / weights[row][0], score[row][chosen[row]] / score[row][chosen[row][0]])
        groups_used = set(chosen[row] // (experts // groups))
        assert len(groups_used) <= kept
        if groups == 1:
            assert (score + bias)[row][chosen[row]].min() >= np.delete((score + bias)[row], chosen[row]).max()


def test_equal_scores_go_to_the_lower_index() -> None:
    chosen, _ = route(np.zeros((1, 384)), np.zeros(384), 8)
    assert chosen.tolist() == [list(range(8))]
