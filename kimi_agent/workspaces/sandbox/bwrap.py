"""R2: the command line of bubblewrap that makes the view of a profile. For systems where it alone may make namespaces."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from kimi_agent.workspaces.sandbox.profile import Profile, inside

BWRAP = "/usr/bin/bwrap"
"""By its absolute path: what a project has on its PATH is not asked."""
_KERNELS = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")


def trouble() -> str:
    """Why bubblewrap cannot be used; empty when it can."""
    try:
        found = os.stat(BWRAP)
    except OSError:
        return f"{BWRAP} is not there"
    if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{BWRAP} could be changed by others than root"
    return ""


def bwrap_command(profile: Profile, folder: Path, inner: Sequence[str]) -> list[str]:
    """The command that runs `inner` in the view of `profile`; `folder` is the box's own."""
    parts = [
        *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1"),
        *(() if profile.net else ("--unshare-net",)),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/dev/shm", "--proc", "/proc"),  # noqa: S108
    ]
    parts += [part for path in _KERNELS if os.path.exists(path) for part in ("--ro-bind", path, path)]
    for step in _view(profile, folder):
        parts += step
    return [BWRAP, *parts, "--", *inner]


def _view(profile: Profile, folder: Path) -> Iterator[tuple[str, ...]]:
    """Options in the order in which they are carried out: what is inside of something comes after it."""
    writable = [path for path in profile.writable if os.path.lexists(path)]
    visible = [*writable, *(path for path in profile.shown if os.path.lexists(path))]
    covered = []
    for path in sorted({*profile.hidden, *visible}):
        if path in profile.hidden and os.path.lexists(path) and path not in visible:
            if any(inside(tree, path) for tree in visible):
                covered.append(path)
                yield "--tmpfs", path
            else:
                yield _nothing(folder, path)
        if path in visible:
            yield "--bind" if path in writable else "--ro-bind", path, path
    for path in covered:
        yield "--remount-ro", path
    kept = [*(path for path in profile.readonly if os.path.lexists(path)), *profile.placeholders]
    inner = [path for path in (*kept, *profile.hidden) if any(inside(path, root) and path != root for root in writable)]
    for pin in sorted(_between(inner, writable)):
        yield "--bind", pin, pin
    for path in sorted(kept):
        if any(inside(path, root) for root in writable):
            yield "--ro-bind-try", path, path
    for path in profile.hidden:  # each of those shows again what is hidden in it
        if os.path.lexists(path) and path not in visible and any(inside(path, root) for root in kept):
            yield _nothing(folder, path)


def _nothing(folder: Path, path: str) -> tuple[str, ...]:
    return "--ro-bind", str(folder / "nothing" / ("folder" if os.path.isdir(path) else "file")), path


def _between(paths: Sequence[str], roots: Sequence[str]) -> set[str]:
    """The folders between protected paths and their roots: see `mounts._protect`."""
    found: set[str] = set()
    for path in paths:
        parent = os.path.dirname(path)
        while any(parent != root and inside(parent, root) for root in roots):
            found.add(parent)
            parent = os.path.dirname(parent)
    return found - {*paths, *roots}
