"""Reinforcement in pieces, against numbers made by hand; and a tiny model that learns what is rewarded."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_child import SMALL

from inference_backend.training.conversations import Encoded
from inference_backend.training.rl import Budget, advantages, temperature, wilson
from inference_backend.training.rl_objective import log_probs, objective
from inference_backend.training.rl_policy import Piece, Reply, pieces
from inference_backend.training.rl_trainer import Reinforcer, Sample, Settings
from inference_backend.training.trainer import Data

ORDINARY = 40
WIDTH = ORDINARY + 256


def test_an_advantage_is_what_was_earned_over_the_others_of_the_task():
    assert advantages([1.0, 0.0, 0.0, 1.0]) == [0.5, -0.5, -0.5, 0.5]
    assert advantages([1.0, -0.5, 1.0, 0.5]) == [0.5, -1.0, 0.5, 0.0]
    assert advantages([1.0, 1.0]) == [0.0, 0.0]


def test_what_goes_over_its_budget_earns_less():
    budget = Budget(share=1.5, spare=24, penalty=0.5)
    assert budget.tokens(100) == 174
    earned = [budget.reward(solved=s, over=o) for s, o in ((True, False), (True, True), (False, False), (False, True))]
    assert earned == [1.0, 0.5, 0.0, -0.5]


def test_temperature_falls_from_exploration_to_exploitation():
    assert [temperature(n, 5, 1.0, 0.6) for n in range(5)] == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6])
    assert temperature(0, 1, 1.0, 0.6) == 1.0


def test_wilsons_interval():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


# --- the objective on a policy of two tokens ------------------------------------------------------------------------------


def two_tokens(policy, old, heat=1.0):
    """Episodes `a` and `a b` of a policy that writes `a` and `b` by its two logits: log ratios [2]."""
    targets, everything = torch.tensor([0, 0, 1]), torch.ones(3, 2, dtype=torch.bool)
    now, then = (log_probs(logits.expand(3, 2), targets, everything, heat) for logits in (policy, old))
    return torch.zeros(2, dtype=torch.float64).index_add(0, torch.tensor([0, 1, 1]), now - then)


def test_the_gradient_is_the_one_made_by_hand():
    """At the policy that played: sum of -A (onehot - p) / heat over all tokens."""
    policy = torch.tensor([math.log(3.0), 0.0], dtype=torch.float64, requires_grad=True)  # p = 3/4, 1/4
    advantage = torch.tensor([0.5, -0.5], dtype=torch.float64)
    objective(two_tokens(policy, policy.detach()), advantage, 0.1).backward()
    # a: -0.5 (1 - 3/4); then a b: +0.5 ((1 - 3/4) + (0 - 3/4))
    assert policy.grad.tolist() == pytest.approx([-0.125 - 0.25, 0.125 + 0.25])
    policy.grad = None
    hot = torch.tensor([2 * math.log(3.0), 0.0], dtype=torch.float64, requires_grad=True)
    objective(two_tokens(hot, hot.detach(), heat=2.0), advantage, 0.1).backward()
    assert hot.grad.tolist() == pytest.approx([-0.375 / 2, 0.375 / 2])


def test_away_from_it_the_objective_is_the_reports_over_two_tau():
    policy = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
    old, tau = torch.tensor([0.1, 0.2], dtype=torch.float64), 0.3
    advantage = torch.tensor([0.25, -0.75], dtype=torch.float64)
    ours = objective(two_tokens(policy, old), advantage, tau)
    reports = ((advantage - tau * two_tokens(policy, old)) ** 2).sum() / (2 * tau)
    gradients = [torch.autograd.grad(loss, policy)[0] for loss in (ours, reports)]
    assert torch.allclose(*gradients, rtol=1e-12)
    assert (reports - ours).item() == pytest.approx(float((advantage**2).sum()) / (2 * tau))


def test_what_was_not_allowed_is_no_part_of_the_policy():
    logits = torch.tensor([[1.0, 2.0, 9.0]], dtype=torch.float64, requires_grad=True)
    found = log_probs(logits, torch.tensor([0]), torch.tensor([[True, True, False]]), 0.5)
    assert found.item() == pytest.approx(-math.log(1 + math.exp(2.0)))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert gradient[0, 2] == 0
    assert gradient[0, :2].abs().min() > 0


# --- replies as sequences ----------------------------------------------------------------------------------------------------


def reply(prompt, tokens, chosen):
    row = np.zeros(2, np.uint8)
    return Reply(prompt, tokens, chosen, [row + n for n in range(sum(chosen))])


def test_an_episode_is_one_sequence_where_its_history_is_the_same_tokens():
    (one,) = pieces([reply([1, 2], [3, 4], [True, False]), reply([1, 2, 3, 4, 5], [6], [True])])
    assert one.tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert one.chosen.tolist() == [False, False, True, False, False, True]
    assert len(one.allowed) == 2


def test_history_that_is_cut_into_other_tokens_begins_another_sequence():
    two = pieces([reply([1, 2], [3, 4], [True, True]), reply([1, 2, 7, 5], [6], [True])])
    assert [piece.tokens.tolist() for piece in two] == [[1, 2, 3, 4], [1, 2, 7, 5, 6]]
    assert [len(piece.allowed) for piece in two] == [2, 1]


# --- updates ----------------------------------------------------------------------------------------------------------------

PROMPTS = [[5, 6, 7, token] for token in range(8)]
ALLOWED = np.packbits(np.arange(WIDTH) < ORDINARY)
GOOD = 10
"""Tokens below are rewarded: a quarter of those allowed."""


def reinforcer(**changes):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, ORDINARY, (6, 24)).astype(np.int32)
    rows[:, :3] = 5, 6, 7
    trained = np.arange(24) > 8
    data = Data({"train": [Encoded(row, trained) for row in rows], "held_out": []}, 3)
    settings = replace(Settings(lr=3e-3, updates=2, tau=0.1, ptx=0.0), **changes)
    recipe = replace(SMALL, batch=256)
    return Reinforcer(recipe, recipe.config(ORDINARY, long=True), settings, data, dtype=torch.float32)


def chances(model):
    """Of the next token behind each prompt, among those allowed, [8, 40]."""
    with torch.no_grad():
        tokens = torch.tensor(PROMPTS)
        logits = model.logits(model.hidden(tokens[0, :0], tokens)).view(8, 4, -1)[:, -1]
    return logits[:, :ORDINARY].softmax(-1).numpy()


def bandit(trainer, iterations=12, samples=8):
    """Each prompt is answered `samples` times by one token; the mean reward of each iteration."""
    rng, earned = np.random.default_rng(1), []
    for number in range(iterations):
        made = []
        for prompt, chance in zip(PROMPTS, chances(trainer.model).astype(np.float64), strict=True):
            drawn = rng.choice(ORDINARY, samples, p=chance / chance.sum())
            rewards = [float(token < GOOD) for token in drawn]
            chosen = np.array([False] * 4 + [True])
            for token, advantage in zip(drawn, advantages(rewards), strict=True):
                piece = Piece(np.asarray([*prompt, token], np.int32), chosen, ALLOWED[None])
                made.append(Sample([piece], advantage))
            earned.append(np.mean(rewards))
        trainer.update(number, made, 1.0)
    return np.reshape(earned, (iterations, -1)).mean(1)


def test_a_tiny_model_learns_what_is_rewarded():
    trainer = reinforcer()
    before = chances(trainer.model)[:, :GOOD].sum(1).mean()
    bandit(trainer)
    after = chances(trainer.model)[:, :GOOD].sum(1).mean()
    assert before < 0.4
    assert after > 0.8


def test_where_all_earn_the_same_nothing_changes():
    trainer = reinforcer(ptx=1.0)
    before = [param.clone() for param in trainer.model.parameters()]
    piece = Piece(np.asarray([5, 6, 7, 1, 2], np.int32), np.array([False] * 4 + [True]), ALLOWED[None])
    updated = trainer.update(0, [Sample([piece], 0.0)] * 4, 1.0)
    assert updated.samples == 0
    assert all(torch.equal(old, new) for old, new in zip(before, trainer.model.parameters(), strict=True))


def test_sfts_loss_beside_it_keeps_what_sft_taught():
    """The same rewards, with PTX and without: with it the loss on SFT's data falls, without it nothing holds it."""
    losses = []
    for ptx in (20.0, 0.0):
        trainer = reinforcer(ptx=ptx)
        bandit(trainer, 6)
        with torch.no_grad():
            losses.append(float(trainer.ptx_loss(100)))
    assert losses[0] < losses[1] - 0.2
