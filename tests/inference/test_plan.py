"""What K2 takes, from its config alone, against figures worked out by hand and by others."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from checkpoint_house import k2_raw, make_checkpoint

from inference_backend.checkpoint.folder import Checkpoint
from inference_backend.config import ModelConfig, read_config
from inference_backend.convert import CONFIGS
from inference_backend.errors import RequestError
from inference_backend.gpus import KNOWN, Gpu, read_gpus, this_machine
from inference_backend.plan import Sizes, distinct_experts, plan_gpus, sizes_of, step_bytes


@pytest.fixture(scope="module")
def k2() -> tuple[ModelConfig, Sizes]:
    config = read_config(k2_raw("int4"))
    return config, sizes_of(config)


def test_k2_thinking(k2: tuple[ModelConfig, Sizes]) -> None:
    _, sizes = k2
    assert sizes.total.parameters == 1_026_408_232_448
    assert sizes.kinds["routed"].parameters == 1_014_686_023_680
    assert sizes.kv_per_token == 70_272
    assert round(sizes.total.stored / 1e9, 2) == 594.21
    assert round(sizes.schemes["int4"] / 1e9, 2) == 570.76
    assert round(sizes.schemes["bf16"] / 1e9, 2) == 23.44
    # 208,550 tensors of K2.5 are these and 335 of vision
    assert sizes.tensors == 208_550 - 335
    assert len(sizes.layers) == 61
    assert len({share.stored for share in sizes.layers[1:]}) == 1
    assert round(sizes.layers[1].stored / 1e9, 1) == 9.8


def test_what_a_token_reads(k2: tuple[ModelConfig, Sizes]) -> None:
    read = {kind: round(share.read / 1e9, 2) for kind, share in k2[1].kinds.items()}
    assert read == {
        "embedding": 0.0, "attention": 12.34, "dense": 0.79, "router": 0.33, "shared": 5.28, "routed": 11.89, "norm": 0.0,
        "head": 2.35,
    }  # fmt: skip
    norms = k2[1].kinds["norm"].read
    assert round((k2[1].total.read - norms) / 1e9, 2) == 32.98


def test_k2_instruct_in_fp8_and_bf16() -> None:
    config = read_config(k2_raw("fp8"))
    sizes = sizes_of(config)
    assert round(sizes.total.stored / 1e12, 2) == 1.03
    assert sizes.total.parameters == 1_026_408_232_448
    plain = sizes_of(read_config(k2_raw("bf16")))
    assert round(plain.total.stored / 1e12, 2) == 2.05


def test_eight_h200(k2: tuple[ModelConfig, Sizes]) -> None:
    plan = plan_gpus(*k2, read_gpus("8xH200"))
    assert plan.fits
    assert round(plan.weights / 1e9, 1) == 76.2
    assert round(plan.tokens / 1e6, 1) == 1.0
    assert round(plan.tokens_sharded / 1e6) == 8
    assert round(plan.seconds_per_token * 1e3, 2) == 1.26
    assert {c: (round(a * 1e3, 2), round(b * 1e3, 2)) for c, (a, b) in plan.seconds_at.items()} == {
        32768: (1.74, 1.32), 131072: (3.18, 1.50), 262144: (5.09, 1.74),
    }  # fmt: skip
    assert not plan.notes
    assert plan.batches[1] == pytest.approx(1 / (plan.seconds_per_token + 8192 * 70272 / 8 / 4.8e12))
    assert plan.batches[1] < plan.batches[4] < plan.batches[16] < plan.batches[64] < 64 * plan.batches[1]


def test_eight_h100_hold_one_long_context_when_it_is_split(k2: tuple[ModelConfig, Sizes]) -> None:
    plan = plan_gpus(*k2, read_gpus("8xH100"))
    assert plan.fits
    assert round(plan.tokens / 1e3) == 97
    assert 770_000 < plan.tokens_sharded < 780_000
    assert round(plan.seconds_per_token * 1e3, 2) == 1.80
    assert "split by context" in plan.notes[0]
    assert plan.least_count == 8
    assert (plan.ranks, plan.ranks_split) == (8, 8)


def test_how_many_gpus_serve_takes_by_itself(k2: tuple[ModelConfig, Sizes]) -> None:
    """The fewest with room for one full context, on each or together; all that can share it where there is none."""
    for gpus, wanted in {
        "8xB200": (4, 4),
        "16x90GB": (16, 8),
        "4xH100": (4, 4),
        "7xB200": (4, 4),
        "H200": (1, 1),
    }.items():
        plan = plan_gpus(*k2, read_gpus(gpus))
        assert (plan.ranks, plan.ranks_split) == wanted, gpus


def test_what_does_not_fit_says_so(k2: tuple[ModelConfig, Sizes]) -> None:
    config, sizes = k2
    one = plan_gpus(config, sizes, read_gpus("H100"))
    assert not one.fits
    assert one.tokens == one.tokens_sharded == 0
    assert one.room == pytest.approx(85.5e9 - 2.5e9 - 594.2059e9, rel=1e-6)
    assert "do not fit" in one.notes[0]
    assert plan_gpus(config, sizes, read_gpus("2x24GB")).least_count == 32
    assert plan_gpus(config, sizes, read_gpus("2x8GB")).least_count == 0
    assert "cannot be split over 7" in plan_gpus(config, sizes, read_gpus("7xB200")).notes[0]
    assert plan_gpus(config, sizes, (Gpu("a", 2e11), Gpu("b", 1e11))).gpu.name == "b"  # the smallest sets the pace


def test_experts_of_a_batch(k2: tuple[ModelConfig, Sizes]) -> None:
    config = k2[0]
    found = [round(distinct_experts(config, batch), 1) for batch in (1, 2, 4, 8, 16, 32, 64, 128)]
    assert found == [8.0, 15.8, 31.0, 59.5, 109.8, 188.2, 284.2, 358.1]
    read = [step_bytes(config, k2[1], batch, 0) - step_bytes(config, k2[1], 1, 0) + 11.8909e9 for batch in (2, 8, 64)]
    assert [round(one / 1e9, 1) for one in read] == [23.5, 88.5, 422.4]
    assert step_bytes(config, k2[1], 1, 0) == pytest.approx(k2[1].total.read)
    assert distinct_experts(replace(config, num_experts_per_tok=384), 1) == 384


def test_gpus_by_name_and_by_size() -> None:
    assert read_gpus("8xH200") == (KNOWN["h200"],) * 8
    assert read_gpus("h100") == (KNOWN["h100"],)
    assert read_gpus("4x141GB@4.8TB/s") == (Gpu("141 GB", 141e9, 4.8e12),) * 4
    assert read_gpus("2 x 96 GB") == (Gpu("96 GB", 96e9),) * 2
    for wrong in ("", "0xH100", "8xH101", "99999xH100", "x", "8x", "-1xH100", "1e99GB", "H100" * 100):
        with pytest.raises(RequestError, match="names no GPUs"):
            read_gpus(wrong)
    assert this_machine().memory > 1 << 28


@pytest.mark.parametrize("scheme", sorted(CONFIGS))
def test_planned_bytes_are_those_of_the_files(tmp_path: Path, scheme: str) -> None:
    config = make_checkpoint(tmp_path, scheme, vision=True, shards=2)
    planned, found = sizes_of(config), sizes_of(config, Checkpoint(tmp_path))
    assert planned == found
    assert len(Checkpoint(tmp_path)) == found.tensors + 2  # of vision


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "inference_backend", *arguments], capture_output=True, text=True, timeout=100
    )


def test_inspect_a_config_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(k2_raw("int4")))
    done = run("inspect", str(tmp_path), "--gpus", "8xH200")
    assert done.returncode == 0, done.stderr
    for fact in ("1,026,408,232,448", "594.21 GB", "70,272 B per token", "planned from config.json", "8 x H200", "796"):
        assert fact in done.stdout
    assert done.stderr == ""
    facts = json.loads(run("inspect", str(tmp_path), "--json").stdout)
    assert facts["total"]["parameters"] == 1_026_408_232_448
    assert facts["kv_per_token"] == 70_272
    assert facts["machine"]["memory"] > 0


def test_inspect_a_checkpoint(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, "int4", vision=True, shards=3)
    done = run("inspect", str(tmp_path), "--verify", "--layers")
    assert done.returncode == 0, done.stderr
    assert "weights checked, 3 files" in done.stdout
    assert "2 tensors are not needed" in done.stdout
    (tmp_path / "model-2-of-3.safetensors").unlink()
    done = run("inspect", str(tmp_path))
    assert done.returncode == 1
    assert "lacks model-2-of-3.safetensors of the 3 files" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_engine_needs_no_torch_to_inspect(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, "fp8")
    program = (
        "import sys; sys.argv = ['x', 'inspect', sys.argv[1], '--verify']\n"
        "from inference_backend.__main__ import app\n"
        "app(standalone_mode=False)\n"
        "assert not {'torch', 'transformers', 'safetensors', 'compressed_tensors', 'kimi_agent'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
