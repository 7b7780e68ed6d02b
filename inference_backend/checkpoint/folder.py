"""The safetensors files of a folder as one table of tensors, memory-mapped: views into the files, never copies."""

import json
import mmap
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.checkpoint.header import DTYPES, Entry, Header, read_header, regular_file, shown
from inference_backend.errors import CheckpointError

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_INDEX_BYTES = 48 << 20
"""K2's index has 23 MB."""
MAX_SHARDS = 4096
_SHARD = re.compile(r"(?P<stem>[\w.-]{1,80}?)-(?P<number>\d{1,6})-of-(?P<count>\d{1,6})\.safetensors", re.ASCII)
_FILE = re.compile(r"[\w][\w .+-]{0,200}\.safetensors", re.ASCII)

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def quiet(what: str, done: int, total: int) -> None:
    """No progress."""


class Checkpoint(Mapping[str, Entry]):
    """All tensors of a folder by name. Opening reads and checks the headers alone; `array` maps a file when it is first asked.

    Files come from the index where there is one, and then hold exactly what it says; else from their names: `model.safetensors`,
    or all of `NAME-1-of-N.safetensors` to `NAME-N-of-N.safetensors`, with zeros before the number or without.
    """

    def __init__(self, folder: Path, *, progress: Progress = quiet) -> None:
        """Raises CheckpointError."""
        self.folder = folder
        self._maps: dict[str, mmap.mmap] = {}
        self._headers: dict[str, Header] = {}
        self._file_of: dict[str, str] = {}
        where = _read_index(folder / INDEX)
        files = _files_of_index(folder, where) if where is not None else _files_by_name(folder)
        for number, name in enumerate(files):
            progress("reading headers", number, len(files))
            self._headers[name] = header = read_header(folder / name)
            for tensor in header.entries:
                other = self._file_of.setdefault(tensor, name)
                if other != name:
                    raise CheckpointError(f"{folder}: {shown(tensor)} stands in both {other} and {name}")
        progress("reading headers", len(files), len(files))
        if where is not None:
            _check_index(folder, where, self._file_of)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self._headers)

    def header(self, file: str) -> Header:
        return self._headers[file]

    def file_of(self, name: str) -> str:
        return self._file_of[name]

    def __getitem__(self, name: str) -> Entry:
        return self._headers[self._file_of[name]].entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __len__(self) -> int:
        return len(self._file_of)

    def array(self, name: str) -> NDArray[Any]:
        """A read-only view of the tensor in the mapped file. Raises CheckpointError where the file has changed since."""
        entry, file = self[name], self._file_of[name]
        if file not in self._maps:
            self._maps[file] = _mapped(self.folder / file, self._headers[file].file_bytes)
        if entry.begin == entry.end:
            return np.empty(entry.shape, DTYPES[entry.dtype])
        return np.ndarray(entry.shape, DTYPES[entry.dtype], self._maps[file], entry.begin)

    def release(self) -> None:
        """Gives up the mappings, each as soon as no view needs it; `array` maps again."""
        self._maps.clear()


def _mapped(path: Path, wanted: int) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be mapped: {error}") from None
    if len(mapped) != wanted:
        raise CheckpointError(f"{path} has changed since it was opened: {len(mapped):,} bytes, not {wanted:,}")
    return mapped


def _read_index(path: Path) -> dict[str, str] | None:
    """The file of each tensor, or None where there is no index."""
    if not path.exists():
        return None
    with regular_file(path) as (file, size):
        if size > MAX_INDEX_BYTES:
            raise CheckpointError(f"{path} is over {MAX_INDEX_BYTES >> 20} MiB: that is no index")
        data = file.read(size)
    # two flat objects in one: what nests deeper is not parsed at all
    if data.count(b"{") > 8 or data.count(b"[") > 1024:
        raise CheckpointError(f"{path} is no index of tensors")
    try:
        where = json.loads(data)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is no index of tensors: {shown(repr(error))}") from None
    if not isinstance(where, dict) or not where or not all(isinstance(file, str) for file in where.values()):
        raise CheckpointError(f"{path}: weight_map is no table of files")
    return where


def _files_of_index(folder: Path, where: Mapping[str, str]) -> list[str]:
    files = sorted(set(where.values()), key=_order)
    for file in files:
        if not _FILE.fullmatch(file):
            raise CheckpointError(
                f"{folder / INDEX} names {shown(file)!r}, which is no .safetensors file of the folder"
            )
    _check_count(folder, files)
    missing = [file for file in files if not (folder / file).exists()]
    if missing:
        raise CheckpointError(
            f"{folder} lacks {_listed(missing)} of the {len(files)} files in its index", "Fetch what is missing."
        )
    more = [file for file in _listing(folder) if file not in set(files) and (_SHARD.fullmatch(file) or file == SINGLE)]
    if more:
        raise CheckpointError(
            f"{folder} has {_listed(more)} beside the files of its index",
            "Two checkpoints in one folder: give each its own.",
        )
    return files


def _files_by_name(folder: Path) -> list[str]:
    files = _listing(folder)
    if files == [SINGLE]:
        return files
    shards = [match for file in files if (match := _SHARD.fullmatch(file))]
    if not shards:
        raise CheckpointError(
            f"{folder} has no weights: neither {SINGLE} nor model-1-of-N.safetensors",
            "Weights in other formats (.bin, .pt, .gguf) are not read.",
        )
    if len({(each["stem"], int(each["count"])) for each in shards}) > 1 or SINGLE in files:
        raise CheckpointError(f"{folder} holds several checkpoints at once: {_listed(files)}")
    count = int(shards[0]["count"])
    by_number = {int(each["number"]): each.group() for each in shards}
    missing = [number for number in range(1, min(count, MAX_SHARDS) + 1) if number not in by_number]
    if missing or len(by_number) != len(shards) or len(shards) != count:
        what = f"file {_listed([str(one) for one in missing])} of {count}" if missing else "an order of its files"
        raise CheckpointError(f"{folder} lacks {what}", "Fetch what is missing.")
    files = [by_number[number] for number in sorted(by_number)]
    _check_count(folder, files)
    return files


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.suffix == ".safetensors")
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be read: {error.strerror or error}") from None


def _order(file: str) -> tuple[int, str]:
    match = _SHARD.fullmatch(file)
    return (int(match["number"]) if match else 0, file)


def _check_count(folder: Path, files: list[str]) -> None:
    if len(files) > MAX_SHARDS:
        raise CheckpointError(f"{folder} has {len(files):,} files of weights; more than {MAX_SHARDS} are not read")


def _check_index(folder: Path, where: Mapping[str, str], found: Mapping[str, str]) -> None:
    missing = [name for name, file in where.items() if found.get(name) != file]
    extra = [name for name in found if name not in where]
    if missing:
        raise CheckpointError(
            f"{folder}: {len(missing)} tensors are not where the index says: {_listed(missing)} in {where[missing[0]]}"
        )
    if extra:
        raise CheckpointError(f"{folder}: {len(extra)} tensors are not in the index: {_listed(extra)}")


def _listed(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown(name) for name in names[:most]) + more
