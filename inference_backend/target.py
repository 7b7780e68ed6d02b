"""The folder that a conversion writes: whose it is until it is whole, and what comes along beside the weights."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference_backend.checkpoint.folder import INDEX, Checkpoint
from inference_backend.errors import CheckpointError, RequestError

MARKER = ".converting.json"
KEPT = (".json", ".jsonl", ".model", ".tiktoken", ".jinja", ".txt", ".md", ".py")
"""Tokenizer, templates, generation defaults, licence. Code is copied for other engines; nothing here runs it."""
MAX_KEPT_BYTES = 1 << 28


@contextmanager
def claimed(source: Path, target: Path, to: str, checkpoint: Checkpoint) -> Iterator[None]:
    """Makes `target` ours, and this process's alone: new or empty, or begun by the same conversion. Raises CheckpointError."""
    if target.resolve() == source.resolve():
        raise RequestError("the source and the target are the same folder")
    digest = hashlib.sha256((source / "config.json").read_bytes())
    for file in checkpoint.files:
        status = (source / file).stat()
        digest.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    mark = (json.dumps({"to": to, "source": digest.hexdigest()}) + "\n").encode()
    target.mkdir(parents=True, exist_ok=True)
    marker = target / MARKER
    if not marker.exists() and any(target.iterdir()):
        raise CheckpointError(f"{target} is not empty", "Give a new folder, or delete this one.")
    with marker.open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(f"{target} is being written by another process") from None
        lock.seek(0)
        begun = lock.read(4096)
        if begun not in (b"", mark):
            raise CheckpointError(f"{target} was begun by another conversion", "Give a new folder, or delete this one.")
        if not begun:
            lock.write(mark)
            lock.flush()
            os.fsync(lock.fileno())
        yield


def keep_beside(source: Path, target: Path) -> None:
    """Copies what belongs to a checkpoint beside its weights.

    A link is followed within the folder, and to the `blobs` of a Hugging Face cache; others could bring in anybody's files.
    """
    inside = source.resolve()
    blobs = inside.parent.parent / "blobs"
    for path in sorted(source.iterdir()):
        real = path.resolve()
        if not real.is_relative_to(inside) and real.parent != blobs:
            continue
        known = path.suffix.lower() in KEPT or path.name.upper().startswith(("LICENSE", "NOTICE", "THIRD_PARTY"))
        if known and path.name not in ("config.json", INDEX, MARKER) and path.is_file():
            if path.stat().st_size > MAX_KEPT_BYTES:
                continue
            part = target / f".{path.name}.part"
            shutil.copyfile(path, part)
            part.replace(target / path.name)
