"""INT4 on the CPU: the compiled kernel in both its variants and torch's own operation, against float64; how it is built."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from kernel_house import ROUTINGS, exact_moe, near, random_int4, routing, values  # noqa: E402

from inference_backend.errors import EngineError  # noqa: E402
from inference_backend.kernels.cpu.build import BuildError, load_library  # noqa: E402
from inference_backend.kernels.cpu.tiles import SOURCE, Kernel, Tiles  # noqa: E402
from inference_backend.kernels.dispatch import backend  # noqa: E402
from inference_backend.kernels.int4 import int4_dequantise, int4_matmul, int4_prepare, int4_stack  # noqa: E402
from inference_backend.kernels.moe import moe  # noqa: E402

CLOSE = 1e-4
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=["native", "AVX2"])
def kernel(request: pytest.FixtureRequest) -> Kernel:
    try:
        return Kernel(*(["KIMI_AVX2"] if request.param == "AVX2" else []))
    except BuildError as error:
        pytest.skip(f"this machine cannot build it: {error}")


@pytest.mark.parametrize(("tokens", "rows", "columns"), [(1, 16, 32), (3, 37, 96), (9, 100, 1056)])
def test_matmul(kernel: Kernel, tokens: int, rows: int, columns: int) -> None:
    x, w = torch.randn(tokens, columns), random_int4(rows, columns)
    tiles = kernel.pack(w.packed, w.scale)
    near(kernel.matmul(x, tiles, rows), x.double() @ values(w).T, CLOSE)
    packed, scale = kernel.unpack(tiles, rows)
    assert torch.equal(packed, w.packed)
    assert torch.equal(scale, w.scale)


@pytest.mark.parametrize("routed", ROUTINGS)
@pytest.mark.parametrize("tokens", [1, 11])
def test_moe(kernel: Kernel, routed: str, tokens: int) -> None:
    """Experts 2 to 6 of 7 are held here; the last rows of down fill no tile."""
    wide, inner, held = 96 + 32, 64, 5
    x, w13, w2 = torch.randn(tokens, wide), random_int4(held, 2 * inner, wide), random_int4(held, wide, inner, seed=1)
    experts, weights = routing(routed, tokens, 7, 4)
    tiles = [torch.stack([kernel.pack(w.packed[e], w.scale[e]) for e in range(held)]) for w in (w13, w2)]
    found = kernel.moe(x, experts, weights, *tiles, 2)
    near(found, exact_moe(x, experts, weights, values(w13), values(w2), first=2), CLOSE)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(kernel.moe(x, experts, weights, *tiles, 2), found), "the bits depend on the threads"
    finally:
        torch.set_num_threads(threads)


def test_strange_activations(kernel: Kernel) -> None:
    """Zeros, the largest and the smallest stay exact; what is not finite is not hidden."""
    w = random_int4(16, 64)
    tiles = kernel.pack(w.packed, w.scale)
    x = torch.zeros(5, 64)
    x[1, 3], x[2, 40], x[3, 7], x[4, 7] = 3e38, 1e-30, float("nan"), float("inf")
    found = kernel.matmul(x, tiles, 16)
    near(found[:3], x[:3].double() @ values(w).T, CLOSE)
    assert found[3:].isnan().all()


def test_wrong_shapes_are_refused(kernel: Kernel) -> None:
    w = random_int4(16, 64)
    tiles = kernel.pack(w.packed, w.scale)
    with pytest.raises(ValueError, match="do not fit"):
        kernel.matmul(torch.zeros(1, 96), tiles, 16)
    with pytest.raises(ValueError, match="do not fit"):
        kernel.moe(torch.zeros(1, 64), torch.zeros(1, 1), torch.zeros(1, 1), tiles[None], tiles[None], 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_prepared_weights_are_those_that_were_stored(dtype) -> None:
    """Whatever this machine prepares them to: one by one, stacked, and as a layer of experts."""
    w13, w2, x = random_int4(3, 64, 96), random_int4(3, 96, 32, seed=1), torch.randn(4, 96).to(dtype)
    stacks = [int4_stack((w[e] for e in range(3)), 3, dtype) for w in (w13, w2)]
    rounding = 4 * torch.finfo(dtype).eps + CLOSE
    for number in range(3):
        one = int4_prepare(w13[number], dtype)
        assert torch.equal(int4_dequantise(one, dtype), int4_dequantise(w13[number], dtype))
        near(int4_matmul(x, one), x.double() @ values(w13[number]).T, rounding)
        assert torch.equal(int4_matmul(x, stacks[0][number]), int4_matmul(x, one))
        assert int4_matmul(x, one).dtype == dtype
    experts, weights = routing("random", 4, 3, 2)
    found = moe(x, experts, weights, *stacks)
    assert found.dtype == torch.float32
    near(found, exact_moe(x, experts, weights, values(w13), values(w2)), rounding)


def child(code: str, **env: str) -> str:
    """What a fresh interpreter prints; torch on one thread."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), **env}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout.strip()


MODEL = """
import sys, numpy as np, torch
from inference_house import random_tokens, random_weights, tiny_config
sys.path.insert(0, "tests/inference")
from test_model import CLOSE_INT4, expected, runner, stored_as
from inference_backend.engine.runner import Chunk
config = tiny_config(num_hidden_layers=2, first_k_dense_replace=0)
stored, meant = stored_as("int4", random_weights(config))
tokens = random_tokens(config, 12)
model = runner(config, stored)
parts = [model.forward([Chunk(tokens[:11], 0, [0], 11)]), model.forward([Chunk(tokens[11:], 11, [0], 1)])]
np.testing.assert_allclose(np.concatenate(parts), expected(config, meant, tokens), **CLOSE_INT4)
kinds = {type(model._model.layers[0].mlp.w13).__name__}
print(*kinds, any(name.startswith("inference_backend.kernels.gpu") for name in sys.modules))
"""


@pytest.mark.parametrize(
    ("setting", "compiler", "wanted"),
    [
        ("auto", "none", "AtenInt4 False"),
        pytest.param("triton", "", "Int4 True", marks=pytest.mark.nightly),
        pytest.param("plain", "", "Int4 False", marks=pytest.mark.nightly),
    ],
)
def test_the_whole_model_on_every_path(setting: str, compiler: str, wanted: str, tmp_path: Path) -> None:
    """Prefill and decode of an INT4 model. Without a compiler it is torch's operation; Triton is imported only where it runs."""
    env = {"KIMI_KERNELS": setting, "XDG_CACHE_HOME": str(tmp_path)}
    if compiler:
        env |= {"CC": "/none", "PATH": str(tmp_path)}
    assert child(MODEL, **env) == wanted
    assert not list(tmp_path.rglob("*.so"))


def test_an_unknown_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIMI_KERNELS", "fast")
    with pytest.raises(EngineError, match=r"KIMI_KERNELS='fast' is none of auto, plain, triton, cpu"):
        backend(torch.device("meta"))  # a kind of device that nothing asked for before


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "kimi" / "kernels"


def small_source(folder: Path, text: str = "int three(void) { return 3; }") -> Path:
    source = folder / "small.c"
    source.write_text(text)
    return source


def test_a_library_is_built_once_in_a_folder_of_the_user_alone(cache: Path, tmp_path: Path) -> None:
    source = small_source(tmp_path)
    try:
        assert load_library(source).three() == 3
    except BuildError as error:
        pytest.skip(f"no compiler: {error}")
    (library,) = cache.iterdir()
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    before = library.stat().st_mtime_ns
    load_library(source)
    assert [each.stat().st_mtime_ns for each in cache.iterdir()] == [before]
    assert load_library(small_source(tmp_path, "int three(void) { return 33; }")).three() == 33
    assert len(list(cache.iterdir())) == 2


def test_what_cannot_be_built_is_said_and_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"no C compiler|refused .*small\.c"):
        load_library(small_source(tmp_path, "#error these instructions are missing"))
    assert not cache.exists() or not list(cache.iterdir())


def test_a_folder_that_others_can_write_is_refused(cache: Path, tmp_path: Path) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    with pytest.raises(BuildError, match=r"you alone can write|no C compiler"):
        load_library(small_source(tmp_path))


def test_a_link_in_place_of_the_folder_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BuildError, match=r"you alone can write|no C compiler"):
        load_library(small_source(tmp_path))


def test_the_source_is_part_of_the_package() -> None:
    assert SOURCE.is_file()
    assert Tiles(torch.zeros(2, 4, 5, 288, dtype=torch.uint8), 60)[1].data.shape == (4, 5, 288)
