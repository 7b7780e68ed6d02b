"""Triton kernels against float64: in Triton's interpreter (see conftest.py), or compiled where there is a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

from kernel_house import CLOSE, ROUTINGS, exact_moe, near, random_int4, routing, values  # noqa: E402

from inference_backend.kernels.gpu.int4 import int4_matmul_triton  # noqa: E402
from inference_backend.kernels.gpu.mla import mla_decode_triton, mla_prefill_triton  # noqa: E402
from inference_backend.kernels.gpu.moe import moe_triton  # noqa: E402
from inference_backend.kernels.gpu.rmsnorm import rms_norm_triton  # noqa: E402
from inference_backend.kernels.gpu.rope import rope_triton  # noqa: E402
from inference_backend.kernels.gpu.router import route_triton  # noqa: E402
from inference_backend.kernels.mla import merge, mla_decode_plain, mla_prefill_plain  # noqa: E402
from inference_backend.kernels.rmsnorm import rms_norm_plain  # noqa: E402
from inference_backend.kernels.rope import rope_plain  # noqa: E402
from inference_backend.kernels.router import route_plain  # noqa: E402

ROOT = Path(__file__).parents[2]
DTYPES = tuple(CLOSE)
each_type = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


def there(*tensors):
    return [each.to(DEVICE) for each in tensors]


@each_type
def test_rms_norm(dtype) -> None:
    x, weight = torch.randn(5, 100, dtype=dtype)[:, 3:40], torch.rand(37, dtype=dtype)  # odd, and a view
    near(rms_norm_triton(*there(x, weight), 1e-5), rms_norm_plain(x.double(), weight, 1e-5), CLOSE[dtype])
    assert rms_norm_triton(*there(torch.zeros(2, 3, 8, dtype=dtype), torch.ones(8)), 1e-6).shape == (2, 3, 8)


@each_type
@pytest.mark.parametrize("shape", [(3, 5, 20), (4, 64)])
def test_rope(dtype, shape) -> None:
    x = torch.randn(*shape, dtype=dtype).repeat_interleave(2, -1)[..., ::2]
    cos, sin = torch.randn(2, shape[0], shape[-1] // 2)
    near(rope_triton(*there(x, cos, sin)), rope_plain(x.double(), cos.double(), sin.double()), CLOSE[dtype])


@pytest.mark.parametrize(("count", "top", "normalise"), [(384, 8, True), (16, 1, False), (5, 5, True)])
def test_router(count: int, top: int, normalise: bool) -> None:
    logits, bias = torch.randn(3, count), torch.randn(count) * 0.1
    logits[1] = 0.0
    bias[: count // 2] = 0.3  # equal scores go to the lower number
    experts, weights = route_triton(*there(logits, bias), top, normalise, 2.827)
    wanted = route_plain(logits, bias, top, normalise=normalise, scale=2.827)
    assert torch.equal(experts.cpu(), wanted[0])
    near(weights, wanted[1], 1e-6)


@each_type
@pytest.mark.parametrize(("tokens", "rows", "columns"), [(1, 70, 96), (3, 16, 1056), (33, 40, 160)])
def test_int4_matmul(dtype, tokens: int, rows: int, columns: int) -> None:
    """Few tokens with the columns split, many in tiles; sizes that fill no block."""
    x, w = torch.randn(tokens, columns, dtype=dtype), random_int4(rows, columns)
    near(int4_matmul_triton(*there(x, w.packed, w.scale)), x.double() @ values(w).T, CLOSE[dtype])


@pytest.mark.parametrize("routed", ROUTINGS)
@pytest.mark.parametrize(("tokens", "scheme", "dtype"), [
    (2, "int4", torch.float32), (9, "int4", torch.bfloat16), (2, "plain", torch.bfloat16), (10, "plain", torch.float16),
])  # fmt: skip
def test_moe(routed: str, tokens: int, scheme: str, dtype) -> None:
    """Experts 2 to 6 of 7 are held here. 40 pairs of one expert make several blocks of it."""
    wide, inner, held, top = 96, 32, 5, 4
    x = torch.randn(tokens, wide, dtype=dtype)
    experts, weights = routing(routed, tokens, 7, top)
    if scheme == "int4":
        w13, w2 = random_int4(held, 2 * inner, wide), random_int4(held, wide, inner, seed=1)
        parts, means = [there(w13.packed, w13.scale), there(w2.packed, w2.scale)], (values(w13), values(w2))
    else:
        means = torch.randn(held, 2 * inner, wide).to(dtype) * 0.1, torch.randn(held, wide, inner).to(dtype) * 0.1
        parts = [(*there(each), None) for each in means]
    found = moe_triton(*there(x, experts, weights), *parts, 2)
    assert found.dtype == torch.float32
    near(found, exact_moe(x, experts, weights, *means, first=2), CLOSE[dtype])


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("tokens", [1, 8, 100])
def test_moe_of_every_size(tokens: int, dtype) -> None:
    """100 tokens of which each takes 3 of 4 experts: blocks of 64 pairs, columns by eighths."""
    x, w13, w2 = torch.randn(tokens, 288, dtype=dtype), random_int4(4, 192, 288), random_int4(4, 288, 96, seed=1)
    experts, weights = routing("random", tokens, 4, 3)
    found = moe_triton(*there(x, experts, weights), there(w13.packed, w13.scale), there(w2.packed, w2.scale), 0)
    near(found, exact_moe(x, experts, weights, values(w13), values(w2)), CLOSE[dtype])


def paged(lengths: list[int], width: int, dtype):
    """A cache of 16 blocks of 64 rows, and the sequences' tables: blocks in random order, padded with the last."""
    order = torch.randperm(16).tolist()
    tables = []
    for length in lengths:
        count = -(-length // 64)
        tables.append(order[:count])
        order = order[count:]
    most = max(map(len, tables))
    padded = [each + each[-1:] * (most - len(each)) for each in tables]
    return torch.randn(16, 64, width).to(dtype), torch.tensor(padded, dtype=torch.int32)


def near_both(found, wanted, tolerance: float) -> None:
    """Outputs, and the logarithms of their weights' sums."""
    near(found[0], wanted[0], tolerance)
    near(found[1].exp(), wanted[1].exp(), tolerance)


@each_type
@pytest.mark.parametrize(("heads", "rank", "rest"), [(4, 32, 16), (3, 7, 5)])
def test_mla_decode(dtype, heads: int, rank: int, rest: int) -> None:
    """Lengths at the edges of blocks, and none; keys in several parts, some of them empty for the shorter sequences."""
    lengths = [1, 64, 65, 300, 0]
    cache, tables = paged([max(length, 1) for length in lengths], rank + rest, dtype)
    q = torch.randn(5, heads, rank + rest, dtype=dtype)
    counts = torch.tensor(lengths, dtype=torch.int32)
    found = mla_decode_triton(*there(q, cache, tables, counts), 0.2, rank)
    near_both(found, mla_decode_plain(q.double(), cache.double(), tables, counts, 0.2, rank), CLOSE[dtype])
    assert not found[0][4].any()
    assert torch.isneginf(found[1][4]).all()


@each_type
@pytest.mark.parametrize(("tokens", "start"), [(2, 0), (5, 63), (40, 70)])
def test_mla_prefill(dtype, tokens: int, start: int) -> None:
    """None sees a later token, from whatever place a chunk starts."""
    heads, rank, rest = 3, 32, 16
    cache, tables = paged([start + tokens], rank + rest, dtype)
    q = torch.randn(tokens, heads, rank + rest, dtype=dtype)
    seen = torch.arange(start + 1, start + tokens + 1, dtype=torch.int32)
    found = mla_prefill_triton(*there(q, cache, tables[0], seen), 0.2, rank)
    near_both(found, mla_prefill_plain(q.double(), cache.double(), tables[0], seen, 0.2, rank), CLOSE[dtype])


@pytest.mark.parametrize(
    ("decode", "prefill"), [(mla_decode_triton, mla_prefill_triton), (mla_decode_plain, mla_prefill_plain)]
)
def test_attention_over_parts_is_that_over_the_whole(decode, prefill) -> None:
    """Every second block on each of two ranks, as a split cache has them, also where one of them has nothing to see yet."""
    tokens, start, rank = 30, 50, 32
    cache, tables = paged([start + tokens, 300], rank + 16, torch.float32)
    q = torch.randn(tokens, 3, rank + 16)
    seen = torch.arange(start + 1, start + tokens + 1, dtype=torch.int32)
    halves = [(tables[:1, part::2].contiguous(), (seen - 64 * part).clamp(0, 64).int()) for part in (0, 1)]
    outs, lses = zip(*(prefill(*there(q, cache, table[0], sees), 0.2, rank) for table, sees in halves), strict=True)
    whole = mla_prefill_plain(q.double(), cache.double(), tables[0], seen, 0.2, rank)[0]
    near(merge(torch.stack(outs), torch.stack(lses)), whole, CLOSE[torch.float32])

    lengths = torch.tensor([80, 300], dtype=torch.int32)
    parts = [(tables[:, :4:2], [64, 128]), (tables[:, 1:4:2], [16, 128]), (tables[:, 4:], [0, 44])]
    q = torch.randn(2, 3, rank + 16)
    outs, lses = zip(
        *(
            decode(*there(q, cache, table.contiguous(), torch.tensor(has, dtype=torch.int32)), 0.2, rank)
            for table, has in parts
        ),
        strict=True,
    )
    whole = mla_decode_plain(q.double(), cache.double(), tables, lengths, 0.2, rank)[0]
    near(merge(torch.stack(outs), torch.stack(lses)), whole, CLOSE[torch.float32])


@pytest.mark.nightly
def test_all_compile_for_a_gpu(tmp_path: Path) -> None:
    """The interpreter takes what a compiler refuses. Products of many tokens use tensor cores; all fit an H100."""
    env = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "inference" / "compile_kernels.py")]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    kernels = [line.split() for line in ran.stdout.splitlines()]
    assert all(int(shared) <= 232448 for *_, shared in kernels)
    on_tensor_cores = {name for name, _, cores, _ in kernels if cores == "wgmma"}
    assert on_tensor_cores == {"_int4_matmul", "_gate_up", "_down", "_attend"}
