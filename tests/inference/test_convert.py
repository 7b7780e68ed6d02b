"""convert: what comes out is a checkpoint that others read, whole or absent, made one tensor at a time."""

import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_house import make_checkpoint, stored, write_folder
from inference_house import K2_DATA, needs_k2_data, random_weights, raw_config, tiny_config

from inference_backend.checkpoint.folder import INDEX, Checkpoint
from inference_backend.config import ModelConfig, load_config
from inference_backend.convert import CONFIGS, convert
from inference_backend.errors import CheckpointError, ModelConfigError, RequestError
from inference_backend.load import load_weights, open_weights
from inference_backend.quant import SCHEMES
from inference_backend.target import MARKER

PAIRS = [(source, target) for source in sorted(CONFIGS) for target in sorted(CONFIGS)]


def tensors_of(folder: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    checkpoint = Checkpoint(folder)
    return {name: (one.dtype, one.shape, checkpoint.array(name).tobytes()) for name, one in checkpoint.items()}


def files_of(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_scheme_can_be_converted_to() -> None:
    assert CONFIGS.keys() == SCHEMES.keys()


@pytest.mark.parametrize(("source", "target"), PAIRS)
@pytest.mark.parametrize("vision", [False, True], ids=["K2", "K2.5"])
def test_from_each_to_each(tmp_path: Path, source: str, target: str, vision: bool) -> None:
    before = make_checkpoint(tmp_path / "a", source, vision=vision, shards=3)
    done = convert(tmp_path / "a", tmp_path / "b", target, jobs=3 if vision else 1)
    after = load_config(tmp_path / "b")
    assert after.quantisation.scheme == target
    assert after.prefix == before.prefix
    assert (done.files, done.reused, done.dropped) == (3, 0, 0)
    assert MARKER not in files_of(tmp_path / "b")
    assert not [name for name in files_of(tmp_path / "b") if name.endswith(".part")]
    stored_a, stored_b = open_weights(tmp_path / "a", before), open_weights(tmp_path / "b", after)
    stored_b.verify()
    if source == target:
        assert tensors_of(tmp_path / "a") == tensors_of(tmp_path / "b")
    assert sorted(stored_b.skipped) == sorted(stored_a.skipped)
    plain, found = load_weights(tmp_path / "a", before), load_weights(tmp_path / "b", after)
    for name, weight in stored_b.weights.items():
        made = plain[name]
        if len(weight.shape) == 2 and weight.scheme != stored_a.weights[name].scheme:
            scheme = SCHEMES[weight.scheme]
            made = scheme.dequantise(scheme.quantise(made))
        np.testing.assert_array_equal(found[name], made)


def test_float32_becomes_bf16_and_the_bias_stays(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "a", plain="F32", dtype="float32")
    convert(tmp_path / "a", tmp_path / "b", "bf16")
    kinds = {name: entry.dtype for name, entry in Checkpoint(tmp_path / "b").items()}
    assert {kind for name, kind in kinds.items() if not name.endswith("_bias")} == {"BF16"}
    assert {kind for name, kind in kinds.items() if name.endswith("_bias")} == {"F32"}
    assert json.loads((tmp_path / "b" / "config.json").read_text())["dtype"] == "bfloat16"
    assert INDEX not in files_of(tmp_path / "b")


def test_what_stands_beside_the_weights_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "a"
    make_checkpoint(source, "fp8", shards=2)
    kept = {
        "tiktoken.model": b"\0\1", "tokenizer_config.json": b"{}", "chat_template.jinja": b"{{ x }}", "LICENSE": b"MIT",
        "generation_config.json": b'{"eos_token_id": [2, 3]}', "tokenization_kimi.py": b"1/0", "README.md": b"#",
    }  # fmt: skip
    for name, data in kept.items():
        (source / name).write_bytes(data)
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    (source / "figures").mkdir()
    (tmp_path / "secret.txt").write_text("not of this folder")
    (source / "secret.txt").symlink_to(tmp_path / "secret.txt")
    convert(source, tmp_path / "b", "int4")
    weights = {"model-1-of-2.safetensors", "model-2-of-2.safetensors", INDEX, "config.json"}
    assert files_of(tmp_path / "b") == weights | kept.keys()
    for name, data in kept.items():
        assert (tmp_path / "b" / name).read_bytes() == data
    old, new = (json.loads((folder / "config.json").read_text()) for folder in (source, tmp_path / "b"))
    assert {**old, "quantization_config": None} == {**new, "quantization_config": None}


def test_a_cache_of_links(tmp_path: Path) -> None:
    """As the Hugging Face hub lays it out: snapshots/REVISION/NAME points to blobs/HASH."""
    make_checkpoint(tmp_path / "made", shards=2)
    (tmp_path / "made" / "tokenizer_config.json").write_text("{}")
    snapshot, blobs = tmp_path / "hub" / "snapshots" / "abc", tmp_path / "hub" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for number, path in enumerate((tmp_path / "made").iterdir()):
        path.rename(blobs / str(number))
        (snapshot / path.name).symlink_to(Path("../../blobs") / str(number))
    convert(snapshot, tmp_path / "b", "int4")
    assert "tokenizer_config.json" in files_of(tmp_path / "b")
    open_weights(tmp_path / "b", load_config(tmp_path / "b")).verify()


@needs_k2_data
def test_the_config_is_that_of_k2() -> None:
    real = json.loads((K2_DATA / "config.json").read_text())["text_config"]["quantization_config"]
    assert CONFIGS["int4"](False) == real
    assert CONFIGS["fp8"](False) == {
        "quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic",
    }  # fmt: skip


def test_layers_for_multi_token_prediction_are_left_out(tmp_path: Path) -> None:
    """Their tensors would be in the old scheme, and the config speaks of one."""
    raw = raw_config(num_nextn_predict_layers=1)
    config = tiny_config(**raw)
    tensors = stored(config, random_weights(config)) | {"model.layers.3.eh_proj.weight": np.zeros((2, 2), np.float32)}
    write_folder(tmp_path / "a", raw, tensors)
    assert convert(tmp_path / "a", tmp_path / "b", "fp8").dropped == 1
    after = load_config(tmp_path / "b")
    assert after.num_nextn_predict_layers == 0
    assert open_weights(tmp_path / "b", after).skipped == []


class Stopped(Exception):
    pass


def stop_at(number: int) -> Any:
    def progress(what: str, done: int, total: int) -> None:
        if what == "converting" and done == number:
            raise Stopped

    return progress


def test_an_interrupted_conversion_goes_on(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    make_checkpoint(source, shards=4)
    whole = tmp_path / "whole"
    convert(source, whole, "int4")
    weights = sum(1 for _ in open_weights(source, load_config(source)).weights)
    with pytest.raises(Stopped):
        convert(source, target, "int4", progress=stop_at(weights // 2))
    assert files_of(target) == {MARKER, "model-1-of-4.safetensors", "model-2-of-4.safetensors"} or files_of(target) == {
        MARKER, "model-1-of-4.safetensors",
    }  # fmt: skip
    with pytest.raises(ModelConfigError):  # what is not whole is no checkpoint
        load_config(target)
    with pytest.raises(CheckpointError, match="begun by another conversion"):
        convert(source, target, "fp8")
    first = (target / "model-1-of-4.safetensors").stat().st_mtime_ns
    assert convert(source, target, "int4").reused >= 1
    assert (target / "model-1-of-4.safetensors").stat().st_mtime_ns == first
    assert tensors_of(target) == tensors_of(whole)
    assert files_of(target) == files_of(whole)
    with pytest.raises(CheckpointError, match="is not empty"):
        convert(source, target, "int4")


def test_two_at_once_do_not_write_the_same_folder(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    make_checkpoint(source, shards=2)

    def again(what: str, done: int, total: int) -> None:
        if what == "converting" and done == 1:
            with pytest.raises(CheckpointError, match="by another process"):
                convert(source, target, "int4")

    assert convert(source, target, "int4", progress=again).reused == 0
    open_weights(target, load_config(target)).verify()


def test_a_source_that_changed_is_another_conversion(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    make_checkpoint(source, shards=2)
    with pytest.raises(Stopped):
        convert(source, target, "int4", progress=stop_at(60))
    make_checkpoint(source, shards=2)  # written anew
    with pytest.raises(CheckpointError, match="begun by another conversion"):
        convert(source, target, "int4")


def test_what_cannot_be_converted_touches_nothing(tmp_path: Path) -> None:
    source = tmp_path / "a"
    make_checkpoint(source, moe_intermediate_size=40)
    with pytest.raises(CheckpointError, match=r"experts\.0\.down_proj\.weight: int4 .* multiple"):
        convert(source, tmp_path / "b", "int4")
    with pytest.raises(RequestError, match="no scheme"):
        convert(source, tmp_path / "b", "int3")
    with pytest.raises(RequestError, match="same folder"):
        convert(source, tmp_path / "x" / ".." / "a", "bf16")
    with pytest.raises(ModelConfigError):
        convert(tmp_path / "nowhere", tmp_path / "b", "bf16")
    assert files_of(tmp_path) == {"a"}
    assert files_of(source) == {"config.json", "model.safetensors"}


def test_numbers_that_are_not_finite_stop_it(tmp_path: Path) -> None:
    config = tiny_config()
    weights = random_weights(config)
    weights["model.layers.1.mlp.experts.2.up_proj.weight"][3, 4] = np.inf
    write_folder(tmp_path / "a", raw_config(), stored(config, weights))
    with pytest.raises(CheckpointError, match=r"experts\.2\.up_proj\.weight holds numbers that are not finite"):
        convert(tmp_path / "a", tmp_path / "b", "int4")
    assert files_of(tmp_path / "b") == {MARKER}


def large(folder: Path) -> ModelConfig:
    """30 MB in twelve files, the largest tensor 2 MB as float32."""
    return make_checkpoint(
        folder, shards=12, hidden_size=256, moe_intermediate_size=512, n_routed_experts=20, intermediate_size=2048
    )


def test_memory_stays_at_one_tensor(tmp_path: Path) -> None:
    config = large(tmp_path / "a")
    biggest = max(weight.size for weight in open_weights(tmp_path / "a", config).weights.values()) * 4
    names = 2 << 20  # what the names, shapes and places of all tensors take
    tracemalloc.start()
    done = convert(tmp_path / "a", tmp_path / "b", "int4")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.bytes_before > 10 * biggest
    assert peak < 6 * biggest + names


def run(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "inference_backend", "convert", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_killed_and_run_again(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    large(source)
    child = run(str(source), str(target), "--to", "int4")
    while child.poll() is None and not (target.is_dir() and any(target.glob("*.safetensors"))):
        os.sched_yield()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    again = run(str(source), str(target), "--to", "int4")
    out, err = again.communicate(timeout=100)
    if child.returncode == -signal.SIGKILL and not (target / "config.json").exists():
        raise AssertionError(f"not finished: {err}")
    assert again.returncode == 0 or "is not empty" in err  # it was quicker than the signal
    config = load_config(target)
    open_weights(target, config).verify()
    assert config.quantisation.scheme == "int4"
    assert not [name for name in files_of(target) if name.endswith(".part") or name == MARKER]
    if again.returncode == 0:
        assert "12 files" in out
        assert "were whole already" in out


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    child = run(str(tmp_path / "nowhere"), str(tmp_path / "b"), "--to", "int4")
    out, err = child.communicate(timeout=100)
    assert (child.returncode, out) == (1, "")
    assert "config.json cannot be read" in err
    assert "Traceback" not in err
