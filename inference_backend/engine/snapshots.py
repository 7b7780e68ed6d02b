"""Blocks of the cache on disk, so that a conversation goes on after a restart without being computed again.

One file per block, named by the hash of all tokens up to its end and of what computed them (`fingerprint`: model, config,
template): a fork or a rewind finds what it shares by itself, and a session that grew adds its new blocks only. The block in which
a sequence ends is kept under the name of the one before it (`.part`). A file is

    magic | hash of the fingerprint | name of the block before | number of tokens | bytes of data | tokens | data | SHA-256 of all

Conversations are private: the folder is the owner's (0700), files are 0600, and are written beside, synced and renamed.
"""

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from inference_backend.errors import EngineError

MAGIC = b"K2KV0001"
HEADER = struct.Struct("<8s32s32sIQ")
DIGEST = 32
MAX_FILE_BYTES = 1 << 28


def encode_tokens(tokens: Sequence[int]) -> bytes:
    """Four bytes each, little-endian."""
    return struct.pack(f"<{len(tokens)}i", *tokens)


class SnapshotStore:
    """Blocks by what they follow. Safe for several threads. What is damaged or another's counts as absent, and is said.

    Raises EngineError where the folder cannot be made, or is open to others and cannot be closed.
    """

    def __init__(self, folder: Path, fingerprint: str, *, quota: int, say: Callable[[str], None] = lambda text: None):
        self.folder, self.quota, self._say = folder, quota, say
        self._model = hashlib.sha256(fingerprint.encode()).digest()
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # of each file, the longest unused first
        self._total = 0
        self._open()

    def _open(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = os.lstat(self.folder)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                raise EngineError(f"{self.folder} is not a folder of yours: snapshots would be open to others")
            self.folder.chmod(0o700)
            with os.scandir(self.folder) as entries:
                files = [(entry.stat(follow_symlinks=False), entry.name) for entry in entries]
        except OSError as error:
            raise EngineError(f"snapshots cannot be kept in {self.folder}: {error.strerror or error}") from None
        for status, name in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if name.endswith((".kv", ".part")) and stat.S_ISREG(status.st_mode):
                self._sizes[name] = status.st_size
                self._total += status.st_size
            elif name.endswith(".new"):  # left by one that was killed
                with contextlib.suppress(OSError):
                    (self.folder / name).unlink()

    @property
    def root(self) -> bytes:
        """The name of what every sequence begins after."""
        return self._model

    @property
    def total(self) -> int:
        """Bytes kept."""
        return self._total

    def after(self, parent: bytes, tokens: Sequence[int]) -> bytes:
        """The name of the full block with `tokens` that follows `parent`."""
        return hashlib.sha256(parent + encode_tokens(tokens)).digest()

    def has(self, parent: bytes, tokens: Sequence[int]) -> bool:
        return f"{self.after(parent, tokens).hex()}.kv" in self._sizes

    def load(self, parent: bytes, tokens: Sequence[int]) -> bytes | None:
        """The data of the full block with exactly these tokens; None where it is not there."""
        found = self._read(f"{self.after(parent, tokens).hex()}.kv", parent)
        return found[1] if found is not None and found[0] == list(tokens) else None

    def load_part(self, parent: bytes) -> tuple[list[int], bytes] | None:
        """Tokens and data of the block in which the last sequence after `parent` ended."""
        return self._read(f"{parent.hex()}.part", parent)

    def save(self, parent: bytes, tokens: Sequence[int], data: bytes, *, part: bool = False) -> bool:
        """Keeps a block; False, said, where the disk does not let it."""
        name = f"{parent.hex()}.part" if part else f"{self.after(parent, tokens).hex()}.kv"
        header = HEADER.pack(MAGIC, self._model, parent, len(tokens), len(data))
        body = header + encode_tokens(tokens)
        digest = hashlib.sha256(body)
        digest.update(data)
        try:
            self._write(name, (body, data, digest.digest()))
        except OSError as error:
            self._say(f"a snapshot was not written to {self.folder}: {error.strerror or error}")
            return False
        with self._lock:
            self._total += len(body) + len(data) + DIGEST - self._sizes.pop(name, 0)
            self._sizes[name] = len(body) + len(data) + DIGEST
            self._shrink()
        return True

    def touch(self, parents: Iterable[tuple[bytes, Sequence[int]]]) -> None:
        """These full blocks of one sequence, from its beginning, were used: its end is given up before its beginning."""
        for parent, tokens in reversed(list(parents)):
            name = f"{self.after(parent, tokens).hex()}.kv"
            with self._lock:
                if name in self._sizes:
                    self._sizes.move_to_end(name)
                    with contextlib.suppress(OSError):
                        os.utime(self.folder / name)

    def _shrink(self) -> None:
        while self._total > self.quota and self._sizes:
            self._remove(next(iter(self._sizes)))

    def _remove(self, name: str) -> None:
        self._total -= self._sizes.pop(name, 0)
        with contextlib.suppress(OSError):
            (self.folder / name).unlink()

    def _write(self, name: str, pieces: Iterable[bytes]) -> None:
        beside = self.folder / f"{secrets.token_hex(8)}.new"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(descriptor)
            beside.replace(self.folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self, name: str, parent: bytes) -> tuple[list[int], bytes] | None:
        if name not in self._sizes:
            return None
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid():
                    raise ValueError("it is not a file of yours")
                if status.st_size > MAX_FILE_BYTES:
                    raise ValueError("it is too large")
                return self._parse(file.read(MAX_FILE_BYTES), parent)
        except (OSError, ValueError) as error:
            self._say(f"snapshot {name[:12]}… in {self.folder} is ignored: {getattr(error, 'strerror', None) or error}")
            with self._lock:
                self._remove(name)
            return None

    def _parse(self, content: bytes, parent: bytes) -> tuple[list[int], bytes]:
        if len(content) < HEADER.size + DIGEST:
            raise ValueError("it is cut off")
        magic, model, before, count, size = HEADER.unpack_from(content)
        start = HEADER.size + 4 * count
        if magic != MAGIC or model != self._model or before != parent:
            raise ValueError("it is of another model, or no snapshot")
        if len(content) != start + size + DIGEST:
            raise ValueError("it is cut off, or longer than it says")
        if hashlib.sha256(memoryview(content)[:-DIGEST]).digest() != content[-DIGEST:]:
            raise ValueError("it is damaged")
        tokens = list(struct.unpack_from(f"<{count}i", content, HEADER.size))
        return tokens, content[start : start + size]
