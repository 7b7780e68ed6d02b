"""Writes safetensors files: each whole or not at all, and readable by everybody's reader."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from inference_backend.checkpoint.folder import INDEX
from inference_backend.checkpoint.header import DTYPES, KIND_OF, METADATA, Entry, read_header, shown
from inference_backend.errors import CheckpointError

PIECE = 64 << 20  # bytes per write
FORMAT = {"format": "pt"}
"""What transformers asks of the metadata."""


def layout(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> tuple[bytes, dict[str, Entry]]:
    """The head of a file with `tensors`, each (dtype, shape), and where in the file each lies.

    Wide elements come first, so that all are aligned, as in files of the safetensors library.
    """
    order = sorted(tensors, key=lambda name: (-DTYPES[tensors[name][0]].itemsize, name))
    at, raw, entries = 0, dict[str, Any]({METADATA: FORMAT}), dict[str, Entry]()
    for name in order:
        dtype, shape = tensors[name]
        end = at + int(np.prod(shape, dtype=object)) * DTYPES[dtype].itemsize
        raw[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, end]}
        entries[name] = Entry(dtype, tuple(shape), at, end)
        at = end
    text = json.dumps(raw, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    start = 8 + len(text)
    placed = {name: Entry(one.dtype, one.shape, start + one.begin, start + one.end) for name, one in entries.items()}
    return len(text).to_bytes(8, "little") + text, placed


class ShardWriter:
    """One file, written tensor by tensor in any order: a context manager.

    The bytes go to a file with a temporary name; leaving without an exception flushes them to the disk and renames it.
    """

    def __init__(self, path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.part")
        head, self._entries = layout(tensors)
        self._open = set(self._entries)
        self._file = self._temporary.open("wb")
        self._file.write(head)
        self._file.truncate(max((entry.end for entry in self._entries.values()), default=len(head)))

    def write(self, name: str, array: NDArray[Any]) -> None:
        """Raises CheckpointError where `array` is not what was announced, or was written before."""
        entry = self._entries[name]
        kind = KIND_OF.get(array.dtype)
        if (kind, array.shape) != (entry.dtype, entry.shape) or name not in self._open:
            raise CheckpointError(f"{shown(name)} was to be written once, as {entry.dtype} {list(entry.shape)}")
        self._open.discard(name)
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._file.seek(entry.begin)
        for begin in range(0, len(data), PIECE):
            self._file.write(data[begin : begin + PIECE].data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None and not self._open:
                self._file.flush()
                os.fsync(self._file.fileno())
        if kind is not None or self._open:
            with suppress(OSError):
                self._temporary.unlink()
            if kind is None:
                raise CheckpointError(f"{self.path}: {shown(min(self._open))} was never written")
            return
        self._temporary.replace(self.path)
        _flush_folder(self.path.parent)


def write_file(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """All of `tensors` as one file. Raises CheckpointError for a type that the format does not have."""
    for name, array in tensors.items():
        if array.dtype not in KIND_OF:
            raise CheckpointError(f"{shown(name)} is of type {array.dtype}, which safetensors does not have")
    with ShardWriter(path, {name: (KIND_OF[array.dtype], array.shape) for name, array in tensors.items()}) as writer:
        for name, array in tensors.items():
            writer.write(name, array)


def is_complete(path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> bool:
    """Whether `path` is a whole file with exactly these tensors."""
    try:
        header = read_header(path)
    except CheckpointError:
        return False
    return {name: (one.dtype, one.shape) for name, one in header.entries.items()} == dict(tensors)


def write_index(folder: Path, file_of: Mapping[str, str], total_bytes: int) -> None:
    """The index over several files: which tensor is in which."""
    index = {"metadata": {"total_size": total_bytes}, "weight_map": dict(sorted(file_of.items()))}
    write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """A small file, whole or not at all."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
