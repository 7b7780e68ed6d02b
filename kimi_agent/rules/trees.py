"""Whether all that lies below a folder may be read: no private file, nothing that would not end, and not too much to look at."""

import functools
import os
import time
from collections.abc import Callable

from kimi_agent.core.secret import is_secret_path

MANY = 10_000
"""Entries that are looked at; what is known of as many folders is kept."""
FRESH_NS = 2_000_000_000
"""So young a time of a folder may stay as it is through another change."""
PRIVATE = "usually holds secrets"


def tree_problem(top: str, *, ignores: Callable[[], bool]) -> str:
    """Why not everything below `top`, real and absolute, may be read; empty when it may. Links are not followed.

    `ignores`: whether anything is private that the names alone do not tell.
    """
    if ignores():
        return "it may show what .kimiignore leaves out"
    waiting, entries = [top], 0
    while waiting:
        folder = waiting.pop()
        try:
            found = os.stat(folder, follow_symlinks=False)  # noqa: PTH116
        except OSError as error:
            return f"{folder[-60:]} cannot be looked at: {error.strerror}"
        changed = max(found.st_mtime_ns, found.st_ctime_ns)
        look = _look if abs(time.time_ns() - changed) > FRESH_NS else _look.__wrapped__
        problem, below, number = look(folder, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        entries += number
        if problem or entries > MANY:
            return problem or "there is more below it than is looked at"
        waiting += below
    return ""


@functools.lru_cache(maxsize=MANY)
def _look(folder: str, *_state: int) -> tuple[str, tuple[str, ...], int]:
    """What is wrong with the files of a folder, the folders in it, and how many entries there are.

    What comes, goes or is renamed in it changes `_state`, its times.
    """
    below: list[str] = []
    number = 0
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries, 1):
                if number > MANY:
                    break
                if entry.is_symlink():
                    continue
                if entry.is_dir():
                    below.append(entry.path)
                elif not entry.is_file():
                    return f"{entry.name[:60]} is not a regular file", (), number
                elif is_secret_path(entry.path):
                    return f"{entry.name[:60]} {PRIVATE}", (), number
    except OSError as error:
        return f"{folder[-60:]} cannot be looked at: {error.strerror}", (), number
    return "", tuple(below), number
