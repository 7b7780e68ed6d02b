"""Muon, AdamW and QK-Clip held against float64, against torch's AdamW and against their properties."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from inference_backend.training.muon import BAND, COEFFICIENTS, orthogonalise, scale_of
from inference_backend.training.muonclip import MuonClip


def with_singular_values(seed: int, rows: int, columns: int, least: float) -> torch.Tensor:
    """A random float64 matrix whose singular values lie between `least` and 1."""
    rng = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(torch.randn(rows, columns, generator=rng, dtype=torch.float64), full_matrices=False)
    values = least ** torch.rand(min(rows, columns), generator=rng, dtype=torch.float64)
    return u * values @ v


@given(seed=st.integers(0, 1 << 20), rows=st.integers(1, 24), columns=st.integers(1, 24), size=st.floats(1e-6, 1e6))
def test_all_singular_values_come_into_the_published_band(seed, rows, columns, size):
    matrix = with_singular_values(seed, rows, columns, 0.02) * size
    exact = orthogonalise(matrix, dtype=torch.float64)
    values = torch.linalg.svdvals(exact)
    assert values.min() >= BAND[0]
    assert values.max() <= BAND[1] + 0.08  # a value of 1 is not moved to a better one
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    polar = u @ v
    assert (exact * polar).sum() >= BAND[0] * min(rows, columns)
    rough = orthogonalise(matrix.float())  # bfloat16
    assert rough.dtype == torch.bfloat16
    assert torch.linalg.svdvals(rough.double()).max() < 1.35


def test_a_stack_is_made_orthogonal_matrix_by_matrix():
    stack = torch.randn(3, 2, 8, 5, dtype=torch.float64)
    made = orthogonalise(stack, dtype=torch.float64)
    alone = torch.stack([torch.stack([orthogonalise(m, dtype=torch.float64) for m in row]) for row in stack])
    torch.testing.assert_close(made, alone)
    assert not orthogonalise(torch.zeros(4, 4)).any()


def by_hand(weight, grads, lr, momentum, decay):
    """Muon in float64, written as in the report: one matrix, Nesterov, 0.2 sqrt(max(n, m))."""
    a, b, c = COEFFICIENTS
    m = torch.zeros_like(weight)
    for grad in grads:
        m = momentum * m + grad
        x = grad + momentum * m
        x = x / (x.norm() + 1e-7)
        for _ in range(5):
            x = a * x + b * (x @ x.T) @ x + c * (x @ x.T) @ (x @ x.T) @ x
        weight = weight - lr * (x * 0.2 * max(weight.shape) ** 0.5 + decay * weight)
    return weight


@given(seed=st.integers(0, 1 << 20), rows=st.integers(2, 12), columns=st.integers(2, 12), lr=st.floats(1e-4, 0.5))
def test_muon_follows_float64(seed, rows, columns, lr):
    torch.manual_seed(seed)
    start = torch.randn(rows, columns, dtype=torch.float64)
    grads = [torch.randn(rows, columns, dtype=torch.float64) for _ in range(3)]
    param = torch.nn.Parameter(start.float())
    optimiser = MuonClip([param], lr=lr, newton_schulz_dtype=torch.float32)
    for grad in grads:
        param.grad = grad.float()
        optimiser.step()
    wanted = by_hand(start, grads, lr, 0.95, 0.1)
    torch.testing.assert_close(
        param.detach().double(), wanted, atol=2e-3 * lr * scale_of(rows, columns) + 1e-6, rtol=1e-4
    )


def test_the_rest_is_adamw():
    torch.manual_seed(0)
    ours, theirs = [[torch.nn.Parameter(torch.ones(6)), torch.nn.Parameter(torch.ones(3, 4))] for _ in range(2)]
    first = MuonClip([{"params": ours, "use_muon": False}], lr=0.01)
    second = torch.optim.AdamW(
        [{"params": theirs[:1], "weight_decay": 0.0}, {"params": theirs[1:], "weight_decay": 0.1}],
        lr=0.01, betas=(0.9, 0.95),
    )  # fmt: skip
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = other.grad = torch.randn(one.shape)
        first.step()
        second.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def logits(q_c, q_r, k_c, k_r, x):
    """Per head over all pairs of tokens: content and rotary parts, as MLA adds them up."""
    content = torch.einsum("hnd,td,hne,se->hts", q_c, x, k_c, x)
    return content + torch.einsum("hrd,td,re,se->hts", q_r, x, k_r, x)


@given(seed=st.integers(0, 1 << 20), size=st.floats(0.1, 30), tau=st.floats(1, 200))
def test_no_logit_is_above_tau_after_the_clip(seed, size, tau):
    torch.manual_seed(seed)
    heads, content, rotary, value, dim = 3, 4, 2, 3, 8
    x = torch.randn(6, dim, dtype=torch.float64)
    q = (torch.randn(heads, content + rotary, dim, dtype=torch.float64) * size).requires_grad_()
    kv = torch.randn(heads, content + value, dim, dtype=torch.float64).requires_grad_()
    k_r = torch.randn(rotary, dim, dtype=torch.float64)
    optimiser = MuonClip([q, kv], lr=0.0, qk_clip_threshold=tau)
    parts = {"0.Wq_c": q[:, :content], "0.Wq_r": q[:, content:], "0.Wk_c": kv[:, :content], "0.Wk_r": k_r}
    optimiser.register_attention_params(parts)

    def seen():
        with torch.no_grad():
            return logits(q[:, :content], q[:, content:], kv[:, :content], k_r, x)

    before, values, shared = seen(), kv[:, content:].detach().clone(), k_r.clone()
    top = before.amax((1, 2))
    optimiser.step(attention_max_logits={"0": top})
    gamma = torch.clamp(tau / top, max=1.0).where(top > 0, 1.0)
    torch.testing.assert_close(seen(), before * gamma[:, None, None])  # all logits of a head, by the same factor
    assert seen().max() <= tau * (1 + 1e-9)
    assert torch.equal(kv[:, content:], values)
    assert torch.equal(k_r, shared)


def test_heads_may_lie_in_a_matrix_and_other_names_are_refused():
    q, k = torch.nn.Parameter(torch.ones(4, 3)), torch.nn.Parameter(torch.ones(4, 3))
    optimiser = MuonClip([q, k], lr=0.0)
    optimiser.register_attention_params({"attention.Wq_c": q, "attention.Wk_c": k})
    optimiser.step(
        attention_max_logits={"attention.Wq_c": torch.tensor([400.0, 50]), "attention.Wk_c": torch.tensor([400.0, 50])}
    )
    assert q[:, 0].tolist() == k[:, 0].tolist() == [0.5, 0.5, 1, 1]
    with pytest.raises(ValueError, match="Wq_c"):
        optimiser.register_attention_params({"attention.weight": q})
    with pytest.raises(ValueError, match="qk_clip_threshold"):
        MuonClip([q], qk_clip_threshold=0)
