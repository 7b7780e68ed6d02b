"""The header of a safetensors file, checked to the last byte before anything is mapped or allocated.

A file is: 8 bytes, the length of the header (little endian); the header, JSON: for each tensor `dtype`, `shape` and
`data_offsets` [begin, end) into what follows, and `__metadata__`, texts by texts; then the tensors' bytes, without gap or
overlap, to the end of the file. Everything else is refused.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from inference_backend.errors import CheckpointError

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(kind)
    for name, kind in {
        "BF16": ml_dtypes.bfloat16, "F8_E4M3": ml_dtypes.float8_e4m3fn, "F8_E5M2": ml_dtypes.float8_e5m2,
        "F64": np.float64, "F32": np.float32, "F16": np.float16,
        "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
        "U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8, "BOOL": np.bool_,
    }.items()
}  # fmt: skip
KIND_OF = {kind: name for name, kind in DTYPES.items()}
MAX_HEADER_BYTES = 8 << 20
"""A shard of K2, 3,470 tensors, has 0.6 MB. The format allows 100 MB, which would take a second to read and refuse."""
MAX_TENSORS = 1 << 15
MAX_NAME, MAX_DIMENSIONS, MAX_SIZE = 512, 8, 1 << 62
METADATA = "__metadata__"
ENTRY = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file: its kind in safetensors' words, its shape, its bytes [begin, end) from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    file_bytes: int


def shown(text: object) -> str:
    """Text out of a file, fit for a message: short, printable."""
    text = text if isinstance(text, str) else repr(text)[:200]
    text = "".join(char if char.isprintable() else "?" for char in text[:200])
    return text if len(text) <= 120 else text[:117] + "..."


def read_header(path: Path) -> Header:
    """The checked header of `path`. Raises CheckpointError that says what is wrong; reads no more than the header."""
    with regular_file(path) as (file, size):
        return _checked(path, file, size)


@contextmanager
def regular_file(path: Path) -> Iterator[tuple[IO[bytes], int]]:
    """`path` open for reading, and its size. Raises CheckpointError, also for pipes and devices, which could block for ever."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise CheckpointError(f"{path} is no regular file")
            yield file, status.st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None


def _checked(path: Path, file: IO[bytes], size: int) -> Header:
    if size < 8:
        raise _wrong(path, f"{size} bytes are too few for a safetensors file")
    length = int.from_bytes(file.read(8), "little")
    if length > MAX_HEADER_BYTES and length <= size - 8:
        raise _wrong(path, f"its header of {length:,} bytes is over {MAX_HEADER_BYTES >> 20} MiB")
    if length > size - 8:
        raise _wrong(path, f"it is cut short, or no safetensors file: a header of {length:,} bytes in {size:,}")
    data = file.read(length)
    if len(data) < length:
        raise _wrong(path, "it shrank while it was read")
    raw = _parsed(path, data)
    metadata = raw.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _wrong(path, f"{METADATA} is not made of texts")
    start = 8 + length
    entries = {name: _entry(path, name, value, start) for name, value in raw.items()}
    _check_cover(path, entries, start, size)
    return Header(entries, metadata, size)


def _parsed(path: Path, data: bytes) -> dict[str, Any]:
    if not data.startswith(b"{"):
        raise _wrong(path, "its header is no JSON object")
    tensors = data.count(
        b"{"
    )  # at least; a tensor has two lists and few commas, so that what is parsed is known to be small
    if tensors > MAX_TENSORS or data.count(b"[") > 2 * tensors or data.count(b",") > (MAX_DIMENSIONS + 4) * tensors:
        raise _wrong(path, f"its header is not made of at most {MAX_TENSORS:,} tensors")
    try:
        raw = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"its header is not valid JSON: {shown(str(error))}") from None
    assert isinstance(raw, dict)
    return raw


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{shown(twice)} stands in it twice")
    return table


def _entry(path: Path, name: str, raw: object, start: int) -> Entry:
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise _wrong(path, f"{shown(name)!r} is no name of a tensor")
    if not isinstance(raw, dict) or raw.keys() != ENTRY:
        raise _wrong(path, f"{shown(name)} has other fields than dtype, shape and data_offsets")
    dtype, shape, offsets = raw["dtype"], raw["shape"], raw["data_offsets"]
    kind = DTYPES.get(dtype) if isinstance(dtype, str) else None
    if kind is None:
        raise _wrong(path, f"{shown(name)} is of the unknown dtype {shown(dtype)!r}")
    if not _whole_numbers(shape) or len(shape) > MAX_DIMENSIONS:
        raise _wrong(path, f"{shown(name)} has the shape {shown(shape)}")
    if not _whole_numbers(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise _wrong(path, f"{shown(name)} has the offsets {shown(offsets)}")
    begin, end = offsets
    wanted = math.prod(shape) * kind.itemsize
    if end - begin != wanted:
        raise _wrong(path, f"{shown(name)} takes {end - begin:,} bytes, but {dtype} {shown(shape)} is {wanted:,}")
    return Entry(dtype, tuple(shape), start + begin, start + end)


def _whole_numbers(value: object) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one <= MAX_SIZE for one in value)


def _check_cover(path: Path, entries: Mapping[str, Entry], start: int, size: int) -> None:
    """The tensors lie side by side from the header to the end of the file."""
    at = start
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.end > size:
            raise _wrong(path, f"it is cut short: {shown(name)} ends {entry.end - size:,} bytes behind its end")
        if entry.begin != at:
            how = "overlaps the tensor before it" if entry.begin < at else f"lies {entry.begin - at:,} bytes too far on"
            raise _wrong(path, f"{shown(name)} {how}")
        at = entry.end
    if at != size:
        raise _wrong(path, f"{size - at:,} bytes at its end belong to no tensor")


def _wrong(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {what}", "Fetch the file again; its size and checksum are on its page.")
