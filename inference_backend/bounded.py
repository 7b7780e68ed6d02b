"""Reading a small file of a checkpoint whole: never a pipe, never more than it can rightly have."""

from pathlib import Path

from inference_backend.errors import EngineError


def read_bounded(path: Path, most: int, what: str, error: type[EngineError], hint: str) -> bytes:
    """All of a file of at most `most` bytes. Raises `error`, with `hint`; `what` is the kind of file that it should be."""
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise error(f"{path} is no regular file")
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as failed:
        raise error(f"{path} cannot be read: {failed.strerror or failed}", hint) from None
    if len(data) > most:
        raise error(f"{path} is over {most >> 20} MiB: that is no {what}")
    return data
