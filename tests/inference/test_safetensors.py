"""safetensors files: what is wrong with one is said by name, before anything is allocated; ours and the library's are alike."""

import contextlib
import json
import os
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from checkpoint_house import raw_file
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nightly import examples

from inference_backend.checkpoint.folder import INDEX, Checkpoint
from inference_backend.checkpoint.header import DTYPES, MAX_HEADER_BYTES, read_header
from inference_backend.checkpoint.writer import ShardWriter, write_file, write_index
from inference_backend.errors import CheckpointError


def entry(begin: int, end: int, dtype: str = "U8", shape: list[int] | None = None) -> dict[str, object]:
    return {"dtype": dtype, "shape": [end - begin] if shape is None else shape, "data_offsets": [begin, end]}


FOUR = b"\1\2\3\4"
DAMAGED = {
    "empty": (b"", b"", None, "too few"),
    "cut in the header": (b'{"a":', b"", 1000, "cut short"),
    "giant header": (b"{}", b"", 1 << 62, "cut short"),
    "large header": (b"{" + b" " * MAX_HEADER_BYTES + b"}", b"", None, "over 8 MiB"),
    "cut in the data": ({"a": entry(0, 8)}, FOUR, None, "cut short"),
    "longer than its tensors": ({"a": entry(0, 3)}, FOUR, None, "belong to no tensor"),
    "overlap": ({"a": entry(0, 3), "b": entry(2, 4)}, FOUR, None, "overlaps"),
    "the same bytes twice": ({"a": entry(0, 4), "b": entry(0, 4)}, FOUR, None, "overlaps"),
    "gap": ({"a": entry(0, 1), "b": entry(2, 4)}, FOUR, None, "too far on"),
    "gap before the first": ({"a": entry(1, 4)}, FOUR, None, "too far on"),
    "shape and bytes differ": ({"a": entry(0, 4, "F32", [2])}, FOUR, None, "takes 4 bytes"),
    "oversized": ({"a": entry(0, 4, "F32", [1 << 40, 1 << 40])}, FOUR, None, "takes 4 bytes"),
    "size that overflows": ({"a": entry(0, 0, "F32", [1 << 62, 4])}, b"", None, "takes 0 bytes"),
    "offsets backwards": ({"a": entry(4, 0)}, FOUR, None, "offsets"),
    "negative size": ({"a": entry(0, 4, shape=[-4])}, FOUR, None, "shape"),
    "true as a size": ({"a": entry(0, 4, shape=[True, 4])}, FOUR, None, "shape"),
    "fraction as a size": ({"a": entry(0, 4, shape=[4.0])}, FOUR, None, "shape"),
    "size of 5,000 digits": (
        b'{"a":{"dtype":"U8","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,4]}}',
        FOUR,
        None,
        "JSON",
    ),
    "nine dimensions": ({"a": entry(0, 4, shape=[1] * 8 + [4])}, FOUR, None, "shape"),
    "unknown dtype": ({"a": entry(0, 4, "F4_E2M1")}, FOUR, None, "unknown dtype 'F4_E2M1'"),
    "dtype no text": ({"a": {**entry(0, 4), "dtype": ["U8"]}}, FOUR, None, "unknown dtype"),
    "more fields": ({"a": {**entry(0, 4), "strides": [1]}}, FOUR, None, "other fields"),
    "fewer fields": ({"a": {"dtype": "U8"}}, FOUR, None, "other fields"),
    "tensor twice": (
        b'{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        FOUR,
        None,
        "a stands in it twice",
    ),
    "field twice": (
        b'{"a":{"dtype":"U8","dtype":"I8","shape":[4],"data_offsets":[0,4]}}',
        FOUR,
        None,
        "dtype stands in it twice",
    ),
    "metadata no texts": ({"__metadata__": {"a": 1}}, b"", None, "not made of texts"),
    "a list": (b"[1]", b"", None, "no JSON object"),
    "leading blank": (b" {}", b"", None, "no JSON object"),
    "not UTF-8": (b'{"\xff":1}', b"", None, "JSON"),
    "nested deep": (b'{"a":' + b"[" * 100_000, b"", None, "tensors"),
    "many small things": (b'{"a":[' + b"{}," * 900_000 + b"{}]}", b"", None, "tensors"),
    "many numbers": (b'{"a":[' + b"1," * 900_000 + b"1]}", b"", None, "tensors"),
    "name with escapes": ({"\x1b[2J": entry(0, 4)}, FOUR, None, "'?[2J' is no name"),
    "endless name": ({"a" * 5000: entry(0, 4)}, FOUR, None, "no name"),
    "NaN": (b'{"a":NaN}', b"", None, "other fields"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path: Path, case: str) -> None:
    header, data, length, named = DAMAGED[case]
    path = raw_file(tmp_path / "model.safetensors", header, data, length)
    if case == "empty":
        path.write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert named in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))
    assert str(caught.value).isprintable()


def test_damage_costs_nothing(tmp_path: Path) -> None:
    """Nothing of what a damaged file asks for is allocated, nor parsed where it could not be a header."""
    paths = [raw_file(tmp_path / f"{n}.safetensors", *DAMAGED[case][:3]) for n, case in enumerate(DAMAGED) if n]
    tracemalloc.start()
    for path in paths:
        with contextlib.suppress(CheckpointError):
            read_header(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    for name in ("pipe", "folder", "nowhere"):
        with pytest.raises(CheckpointError):
            read_header(tmp_path / f"{name}.safetensors")


@settings(max_examples=examples(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    """A byte changed anywhere: a CheckpointError, or tensors that lie inside the file."""
    path = tmp_path / "model.safetensors"
    write_file(path, {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(3, ml_dtypes.bfloat16)})
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.sampled_from([len(raw), len(raw) // 2, 9]))])
    with contextlib.suppress(CheckpointError):
        checkpoint = Checkpoint(tmp_path)
        for name in checkpoint:
            assert checkpoint.array(name).nbytes <= 30


def every_kind() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    kinds = {name: rng.integers(0, 2, (3, 5)).astype(dtype) for name, dtype in DTYPES.items()}
    return {**kinds, "scalar": np.array(7, np.int64), "nothing": np.zeros((0, 4), np.float32)}


def test_the_library_reads_ours_and_ours_the_librarys(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file
    from safetensors.torch import load_file

    tensors = every_kind()
    write_file(tmp_path / "model.safetensors", tensors)
    theirs = load_file(tmp_path / "model.safetensors")
    assert theirs.keys() == tensors.keys()
    for name, array in tensors.items():
        assert theirs[name].shape == array.shape
        assert theirs[name].flatten().float().tolist() == array.astype(np.float32).ravel().tolist()
    with safe_open(tmp_path / "model.safetensors", "np") as file:
        assert file.metadata() == {"format": "pt"}

    (tmp_path / "theirs").mkdir()
    plain = {name: array for name, array in tensors.items() if not name.startswith(("BF16", "F8"))}
    save_file(plain, tmp_path / "theirs" / "model.safetensors")
    back = Checkpoint(tmp_path / "theirs")
    for name, array in plain.items():
        np.testing.assert_array_equal(back.array(name), array)
    # tensors that both lay out are laid out alike
    write_file(tmp_path / "again.safetensors", plain)
    ours, other = read_header(tmp_path / "again.safetensors"), back.header("model.safetensors")
    assert all(
        one.end - one.begin == other.entries[name].end - other.entries[name].begin for name, one in ours.entries.items()
    )


def test_views_not_copies(tmp_path: Path) -> None:
    write_file(tmp_path / "model.safetensors", {"w": np.ones((4 << 20, 4), np.float32)})
    tracemalloc.start()
    array = Checkpoint(tmp_path).array("w")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert array[-1, -1] == 1
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 2


def shard(folder: Path, name: str, *tensors: str) -> None:
    write_file(folder / name, {tensor: np.zeros(2, np.float32) for tensor in tensors})


def test_shards_by_name_or_by_index(tmp_path: Path) -> None:
    for number in range(1, 13):
        shard(tmp_path, f"model-{number}-of-12.safetensors", f"t{number}")
    assert Checkpoint(tmp_path).files[1:3] == ("model-2-of-12.safetensors", "model-3-of-12.safetensors")  # by number
    (tmp_path / "model-7-of-12.safetensors").unlink()
    with pytest.raises(CheckpointError, match="lacks file 7 of 12"):
        Checkpoint(tmp_path)

    padded = tmp_path / "padded"
    padded.mkdir()
    for number in (1, 2):
        shard(padded, f"model-0000{number}-of-000002.safetensors", f"t{number}")
    seen: list[tuple[str, int, int]] = []
    assert len(Checkpoint(padded, progress=lambda *step: seen.append(step))) == 2
    assert seen == [("reading headers", done, 2) for done in range(3)]
    shard(padded, "model-00001-of-000003.safetensors", "t1")
    with pytest.raises(CheckpointError, match="several checkpoints"):
        Checkpoint(padded)


def test_the_same_tensor_in_two_files(tmp_path: Path) -> None:
    shard(tmp_path, "model-1-of-2.safetensors", "a", "b")
    shard(tmp_path, "model-2-of-2.safetensors", "b")
    with pytest.raises(CheckpointError, match="b stands in both"):
        Checkpoint(tmp_path)


ONE, TWO = "model-00001-of-000002.safetensors", "model-00002-of-000002.safetensors"
INDEXES = {
    "right": ({"a": ONE, "b": TWO}, ""),
    "a tensor elsewhere": ({"a": TWO, "b": TWO}, "model-00001-of-000002.safetensors beside"),
    "a tensor in the other file": ({"a": ONE, "b": ONE, "c": TWO}, "2 tensors are not where the index says: b"),
    "a tensor too many": ({"a": ONE, "b": TWO, "c": TWO}, "not where the index says: c"),
    "a tensor too few": ({"b": TWO, "a2": ONE}, "not where the index says"),
    "a file that is not there": ({"a": ONE, "b": "model-00003-of-000003.safetensors"}, "lacks model-00003"),
    "out of the folder": ({"a": "../other/model.safetensors", "b": TWO}, "no .safetensors file of the folder"),
    "absolute": ({"a": "/etc/model.safetensors", "b": TWO}, "no .safetensors file of the folder"),
    "hidden": ({"a": ".hidden.safetensors", "b": TWO}, "no .safetensors file of the folder"),
    "pickle": ({"a": "pytorch_model.bin", "b": TWO}, "no .safetensors file of the folder"),
    "with a null": ({"a": "a\0.safetensors", "b": TWO}, "no .safetensors file of the folder"),
    "no texts": ({"a": 1}, "no table of files"),
    "empty": ({}, "no table of files"),
}


@pytest.mark.parametrize("case", INDEXES)
def test_the_index_is_held_against_the_files(tmp_path: Path, case: str) -> None:
    where, named = INDEXES[case]
    shard(tmp_path, ONE, "a")
    shard(tmp_path, TWO, "b")
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    if not named:
        assert sorted(Checkpoint(tmp_path)) == ["a", "b"]
        return
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(tmp_path)
    assert named in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 10_000, '{"weight_map": []}', '{"a": {}, ' * 5000])
def test_what_is_no_index(tmp_path: Path, text: str) -> None:
    shard(tmp_path, ONE, "a")
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(CheckpointError):
        Checkpoint(tmp_path)


def test_folders_without_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04")
    with pytest.raises(CheckpointError, match="no weights"):
        Checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        Checkpoint(tmp_path / "nowhere")


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    shard(tmp_path, path.name, "a")
    checkpoint = Checkpoint(tmp_path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(CheckpointError, match="has changed"):
        checkpoint.array("a")


def write_parts(path: Path, *parts: tuple[str, int]) -> None:
    with ShardWriter(path, {"a": ("F32", (2,)), "b": ("F32", (2,))}) as writer:
        for name, size in parts:
            writer.write(name, np.zeros(size, np.float32))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for parts, why in (
        ([("a", 2)], "b was never written"),
        ([("a", 3)], "once, as F32"),
        ([("a", 2), ("a", 2)], "once, as F32"),
    ):
        with pytest.raises(CheckpointError, match=why):
            write_parts(path, *parts)
    with pytest.raises(CheckpointError, match="complex128"):
        write_file(path, {"c": np.zeros(2, np.complex128)})
    assert list(tmp_path.iterdir()) == []
    write_index(tmp_path, {"b": TWO, "a": ONE}, 16)
    assert list(json.loads((tmp_path / INDEX).read_text())["weight_map"]) == ["a", "b"]
