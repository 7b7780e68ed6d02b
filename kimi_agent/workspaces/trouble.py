"""What the operating system refused, in words that help whoever reads them to do something about it."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kimi_agent.core.errors import WorkspaceError

_WORDS = {
    errno.ENOENT: "No such file or folder: {path}",
    errno.EISDIR: "{path} is a folder, not a file.",
    errno.ENOTDIR: "{path}: a part of the path is a file, not a folder.",
    errno.EACCES: "Permission denied: {path}",
    errno.EPERM: "Permission denied: {path}",
    errno.EROFS: "{path} is on a read-only file system.",
    errno.ENOSPC: "The disk is full: {path} was left as it was.",
    errno.EDQUOT: "The disk quota is used up: {path} was left as it was.",
    errno.EFBIG: "The content is larger than this system allows for {path}; it was left as it was.",
    errno.ELOOP: "{path} is a symbolic link that leads back to itself.",
    errno.ENAMETOOLONG: "The path is too long for this file system.",
    errno.ETXTBSY: "{path} is a program that is running now.",
}


def describe(error: OSError, path: Path, root: Path) -> str:
    """One line about `error`; `path` is given relative to `root` where it lies inside."""
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    words = _WORDS.get(error.errno or 0)
    return words.format(path=shown) if words else f"{shown}: {error.strerror or type(error).__name__}"


@contextmanager
def worded(path: Path, root: Path) -> Iterator[None]:
    """Turns an OSError into a WorkspaceError about `path`."""
    try:
        yield
    except OSError as error:
        if isinstance(error, IsADirectoryError):
            error.errno = errno.EISDIR
        raise WorkspaceError(describe(error, path, root)) from error
