"""Attention and plain experts on the CPU, in the blocked forms that long contexts and few tokens take, against float64."""

import pytest

torch = pytest.importorskip("torch")
from kernel_house import ROUTINGS, exact_moe, near, routing  # noqa: E402

from inference_backend.kernels.attention import causal_attention, causal_attention_plain  # noqa: E402
from inference_backend.kernels.mla import LONG, mla_decode, mla_decode_plain, mla_prefill, mla_prefill_plain  # noqa: E402
from inference_backend.kernels.moe import moe  # noqa: E402

CLOSE = {torch.float32: 1e-5, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize(("new", "past"), [(70, 0), (70, 1), (65, 600), (2, 3000)])
@pytest.mark.parametrize(("wide", "value"), [(48, 32), (32, 48)])
def test_a_piece_sees_its_past_and_itself(dtype, new: int, past: int, wide: int, value: int) -> None:
    q, k = torch.randn(3, new, wide, dtype=dtype), torch.randn(3, past + new, wide, dtype=dtype)
    v = torch.randn(3, past + new, value, dtype=dtype)
    near(causal_attention(q, k, v, 0.3), causal_attention_plain(q.double(), k.double(), v.double(), 0.3), CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_long_contexts_are_read_in_parts(dtype, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks one after another and in any order, lengths on both sides of what is read in parts."""
    rank, heads, lengths = 24, 5, torch.tensor([0, LONG, LONG + 1, 4099], dtype=torch.int32)
    cache = torch.randn(200, 64, rank + 16, dtype=dtype)
    tables = torch.stack([torch.arange(65), torch.arange(65) + 70, torch.randperm(200)[:65], torch.randperm(200)[:65]])
    tables = tables.int()
    q = torch.randn(len(lengths), heads, rank + 16, dtype=dtype)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = mla_decode(q, cache, tables, lengths, 0.2, rank)
    finally:
        torch.set_num_threads(before)
    wanted = mla_decode_plain(q.double(), cache.double(), tables, lengths, 0.2, rank)
    near(found[0], wanted[0], CLOSE[dtype])
    assert found[1][0].isneginf().all()
    near(found[1][1:], wanted[1][1:], CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("step", [1, 0, 3], ids=["whole", "another rank's", "with gaps"])
@pytest.mark.parametrize("start", [LONG - 1, LONG, 3000])
def test_the_end_of_a_long_prompt(dtype, start: int, step: int) -> None:
    """Where the cache is split over ranks, some tokens see no more rows of a rank than those before them."""
    rank, new = 24, 37
    seen = (start + torch.arange(1, new + 1) * step).int() if step else torch.full((new,), start, dtype=torch.int32)
    cache, table = torch.randn(60, 64, rank + 16, dtype=dtype), torch.randperm(60).int()
    q = torch.randn(new, 5, rank + 16, dtype=dtype)
    found = mla_prefill(q, cache, table, seen, 0.2, rank)
    wanted = mla_prefill_plain(q.double(), cache.double(), table, seen, 0.2, rank)
    for ours, exact in zip(found, wanted, strict=True):
        near(ours, exact, CLOSE[dtype])


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("routed", ROUTINGS)
@pytest.mark.parametrize(("tokens", "wide"), [(1, 32), (11, 32), (11, 33), (100, 32)])
def test_plain_experts(dtype, routed: str, tokens: int, wide: int) -> None:
    """Experts 2 to 6 of 7 are held here; rows that torch would refuse to group, and as many tokens as are not grouped."""
    x, w13, w2 = torch.randn(tokens, wide), torch.randn(5, 48, wide), torch.randn(5, wide, 24)
    experts, weights = routing(routed, tokens, 7, 4)
    x, w13, w2 = x.to(dtype), w13.to(dtype), w2.to(dtype)
    near(moe(x, experts, weights, w13, w2, first=2), exact_moe(x, experts, weights, w13, w2, first=2), CLOSE[dtype])
