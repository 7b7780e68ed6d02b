"""The token that every request shows: random, in a file that its owner alone can read, never in an address or an argument."""

import fcntl
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from inference_backend.errors import EngineError

BYTES = 32
LEAST_CHARS = 32
MOST_CHARS = 4096


class SecretError(EngineError):
    """The file of the token cannot be used."""


def state_folder() -> Path:
    """Where servers of this user keep their tokens; made, and closed to others. Raises SecretError."""
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "kimi-engine"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise SecretError(f"tokens cannot be kept in {folder}: {error.strerror}", "Name a --token-file.") from None
    return folder


def write_token(path: Path) -> str:
    """A new token of 256 random bits in `path`, replacing what was there. Raises SecretError."""
    token = secrets.token_urlsafe(BYTES)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "w") as file:
            os.fchmod(number, 0o600)
            file.write(token + "\n")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise SecretError(
            f"cannot write the token to {path}: {error.strerror}", "Choose another --token-file."
        ) from None
    return token


def read_token(path: Path) -> str:
    """The token that a person put into `path`. Raises SecretError where others may read it, or where it is easily guessed."""
    with _opened(path) as file:
        return _checked(file, path)


class HeldToken:
    """The token in `path`, made where there is none. Servers that share a file each hold a lock on it: the one
    that made it removes it at its end, unless another uses it still, or the file is another by then. Raises SecretError."""

    def __init__(self, path: Path) -> None:
        self.path, self._made = path, False
        while True:
            if not path.exists():
                write_token(path)
                self._made = True
            self._file = _opened(path)
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(self._file, fcntl.LOCK_SH)
            if self._is_there():
                break
            self._file.close()  # its last server removed it just now
        try:
            self.token = _checked(self._file, path)
        except SecretError:
            self._file.close()
            raise

    def release(self) -> None:
        with self._file, suppress(OSError):
            if self._made:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._is_there():
                    self.path.unlink()

    def _is_there(self) -> bool:
        try:
            return os.path.samestat(os.lstat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False


def _opened(path: Path) -> IO[bytes]:
    try:
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError as error:
        raise SecretError(
            f"cannot read the token from {path}: {error.strerror}", "Choose another --token-file."
        ) from None


def _checked(file: IO[bytes], path: Path) -> str:
    try:
        mode = os.fstat(file.fileno())
        if not stat.S_ISREG(mode.st_mode) or mode.st_mode & 0o077 or mode.st_uid not in (os.getuid(), 0):
            raise SecretError(f"{path} can be read by others", f"chmod 600 {path}")
        token = file.read(MOST_CHARS + 1).decode("ascii", "replace").strip()
    except OSError as error:
        raise SecretError(
            f"cannot read the token from {path}: {error.strerror}", "Choose another --token-file."
        ) from None
    if not LEAST_CHARS <= len(token) <= MOST_CHARS or not token.isascii() or not token.isprintable() or " " in token:
        raise SecretError(
            f"{path} holds no token", f"A token is one line of {LEAST_CHARS} or more characters without blanks."
        )
    return token
