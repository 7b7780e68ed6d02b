"""The token that every request shows: random, in a file that its owner alone can read, never in an address or an argument."""

import os
import secrets
import stat
from pathlib import Path

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
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(number, "rb") as file:
            mode = os.fstat(number)
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
