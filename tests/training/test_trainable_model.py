"""The trainable model against reference.py: the same numbers; and its own backward passes against autograd's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from inference_house import INT4, tiny_config

from inference_backend.reference import Reference, Segment
from inference_backend.tensors import weights_of
from inference_backend.training.attention import Spans, attend, max_logits
from inference_backend.training.balance import sequence_loss, update_bias
from inference_backend.training.experts import routed
from inference_backend.training.layers import Precision
from inference_backend.training.model import TrainableModel
from inference_backend.training.recipe import RECIPES


def reference_logits(model, config, common, episode):
    weights = {name: tensor.double().numpy() for name, tensor in model.named_weights()}
    oracle = Reference(config, weights, dtype=np.float64)
    tokens = [*common.tolist(), *episode.tolist()]
    return oracle.forward([Segment(tokens, oracle.new_cache(), len(episode))])


def test_names_and_shapes_are_the_checkpoints():
    config = tiny_config()
    model = TrainableModel(config)
    assert {name: tuple(t.shape) for name, t in model.named_weights()} == {w.name: w.shape for w in weights_of(config)}


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize(
    "changes", [{}, {"n_group": 4, "topk_group": 2, "tie_word_embeddings": True}, {"v_head_dim": 96}]
)
def test_the_forward_pass_is_the_references(start, changes):
    """Episodes behind a common beginning, computed once, see it and themselves and nothing of one another."""
    config = tiny_config(**changes)
    model = TrainableModel(config, seed=1).double()
    model.precision = Precision(torch.float64)
    for moe in model.moe():
        moe.gate.e_score_correction_bias.uniform_(-0.2, 0.2)
    rng = torch.Generator().manual_seed(2)
    common, episodes = torch.randint(320, (start,), generator=rng), torch.randint(320, (3, 7), generator=rng)
    ours = model.logits(model.hidden(common, episodes)).unflatten(0, (3, 7)).detach().numpy()
    for number, episode in enumerate(episodes):
        np.testing.assert_allclose(ours[number], reference_logits(model, config, common, episode), rtol=1e-6, atol=1e-9)
    model.precision = Precision(torch.bfloat16)
    rough = model.float().logits(model.hidden(common, episodes)).detach().float().unflatten(0, (3, 7)).numpy()
    assert np.median(np.abs(rough - ours)) < 0.1 * np.median(np.abs(ours))  # a token may go to another expert


def test_the_first_layer_begins_with_a_look_at_the_tokens_before():
    """Two heads at the last one, one each at those before it: what stands there is seen there, and hardly anywhere else."""
    model = TrainableModel(replace(RECIPES["tiny"], layers=1).config(512, long=False), seed=3)
    rng = torch.Generator().manual_seed(2)
    changes = torch.zeros(60)
    for place in range(20, 40):
        tokens = torch.randint(512, (2, 80), generator=rng)
        tokens[1] = tokens[0]
        tokens[1, place] += 1 if tokens[0, place] < 511 else -1
        one, other = model.hidden(tokens[0, :0], tokens).detach().unflatten(0, (2, 80))
        changes[:40] += (one - other).norm(dim=-1)[place : place + 40]
    assert changes[1] > 4 * changes[4:40].max()
    assert changes[2:4].min() > 1.5 * changes[4:40].max()


def test_gradients_of_the_experts_are_autograds():
    torch.manual_seed(0)
    x, weights = torch.randn(9, 6, dtype=torch.double), torch.rand(9, 3, dtype=torch.double)
    gate_up, down = torch.randn(5, 8, 6, dtype=torch.double), torch.randn(5, 6, 4, dtype=torch.double)
    experts = torch.stack([torch.randperm(4)[:3] for _ in range(9)])  # the last expert has no token
    inputs = [one.requires_grad_() for one in (x, weights, gate_up, down)]
    assert torch.autograd.gradcheck(lambda a, w, g, d: routed(a, experts, w, g, d), inputs)
    two = weights[:, :2].detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda a, w, g, d: routed(a, experts[:, :2], w, g, d), [x, two, gate_up, down])


SPANS = [Spans(5, 3, 7), Spans(0, 3, 7), Spans(1600, 3, 250)]
"""The last makes several tiles of each kind."""


@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("value", [24, 16])
def test_attention_in_bfloat16_has_the_gradients_of_float64(spans, value):
    rng = torch.Generator().manual_seed(3)
    count = spans.common + spans.episodes * spans.length
    shapes = (2, count, 24), (2, count, 24), (2, count, value)
    exact = [torch.randn(s, generator=rng).bfloat16().double().requires_grad_() for s in shapes]
    rough = [x.detach().bfloat16().requires_grad_() for x in exact]
    out = torch.randn(2, count, value, generator=rng).bfloat16()
    wanted, made = attend(*exact, 0.3, spans), attend(*rough, 0.3, spans)
    assert (made.double() - wanted).norm() < 0.01 * wanted.norm()
    for a, b in zip(
        torch.autograd.grad(wanted, exact, out.double()), torch.autograd.grad(made, rough, out), strict=True
    ):
        assert (a - b.double()).norm() < 0.03 * a.norm()


@pytest.mark.parametrize("spans", SPANS)
def test_the_largest_logits_are_those_of_the_whole_matrix(spans):
    rng = torch.Generator().manual_seed(4)
    count = spans.common + spans.episodes * spans.length
    q, k = torch.randn(3, count, 8, generator=rng), torch.randn(3, count, 8, generator=rng)
    place = torch.arange(count)
    episode = torch.where(place < spans.common, -1, (place - spans.common) // spans.length)
    seen = (place[:, None] >= place) & ((episode == -1) | (episode[:, None] == episode))
    whole = (torch.einsum("htx,hsx->hts", q, k) * 0.5).masked_fill(~seen, float("-inf")).amax((1, 2))
    torch.testing.assert_close(max_logits(q, k, 0.5, spans), whole)
    bound = max_logits(q, k, 0.5, spans, above=1e3)
    assert (bound >= whole).all()
    assert bound.max() <= 1e3


def test_what_is_trained_is_what_will_be_stored():
    config = tiny_config(quantization_config=INT4)
    model = TrainableModel(config, seed=5)
    tokens = torch.arange(12)[None]
    plain = model.logits(model.hidden(tokens[0, :0], tokens))
    model.precision = Precision(torch.float32, stored=True)
    stored = model.logits(model.hidden(tokens[0, :0], tokens))
    assert not torch.equal(plain, stored)
    stored.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    experts = next(model.moe()).experts
    assert experts.gate_up.grad.abs().sum() > 0


def test_the_bias_follows_the_load_and_the_loss_wants_evenness():
    bias = torch.zeros(4)
    for _ in range(3):
        update_bias(bias, torch.tensor([10.0, 2, 2, 2]), 0.01)
    assert bias[0] < 0 < bias[1]
    assert abs(bias.sum()) < 1e-6
    even, chosen = torch.full((1, 8, 4), 0.5), torch.eye(4).repeat(2, 1)[None]
    counted = torch.ones(1, 8)
    assert sequence_loss(even, chosen, counted) == pytest.approx(1.0)
    skewed = torch.tensor([0.9, 0.1, 0.1, 0.1]).expand(1, 8, 4)
    assert sequence_loss(skewed, torch.eye(4)[:1].expand(1, 8, 4), counted) > 1.5
    counted[:, 4:] = 0  # padding has no say
    assert sequence_loss(even, chosen, counted) == pytest.approx(1.0)
