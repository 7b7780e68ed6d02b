"""What stands where nothing may come to be while a command runs. Standard library alone: the zygote makes it."""

import contextlib
import os

FILES = {"commondir": b".\n", "config.worktree": b""}
"""Placeholders that are files, by name, with content that changes nothing for any git that reads them meanwhile."""


def make(path: str) -> bool:
    """Whether there was nothing at `path`, and is a placeholder now."""
    content = FILES.get(os.path.basename(path))
    try:
        if content is None:
            os.mkdir(path)
        else:  # never without its content: another git may look at any moment
            made = f"{path}.kimi-{os.getpid()}"
            with open(made, "xb") as file:
                file.write(content)
            try:
                os.link(made, path)
            finally:
                os.unlink(made)
    except OSError:
        return False
    return True


def remove(path: str) -> None:
    with contextlib.suppress(OSError):  # the person has put something into it: then it is theirs
        if not os.path.isfile(path):
            os.rmdir(path)
        else:
            with open(path, "rb") as file:
                if file.read(64) != FILES[os.path.basename(path)]:
                    return
            os.unlink(path)
