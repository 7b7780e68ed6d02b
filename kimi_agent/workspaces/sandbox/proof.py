"""Which rung this machine offers: tried with the canary, once in a process."""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from kimi_agent.core.access import BoxError, BoxState, Check, Rung

RUNGS: tuple[Rung, ...] = ("R3", "R2", "R1")
_LANDLOCK = 3  # the ABI below which Landlock forgets truncation and renaming


class NothingHolds(Exception):
    """No rung does. What failed now may hold a moment later, so this is not remembered."""

    def __init__(self, reasons: Sequence[tuple[str, str]]) -> None:
        self.reasons = tuple(reasons)


@functools.cache
def proof(rungs: tuple[Rung, ...]) -> BoxState:
    """The best of these rungs that holds, tried once in a process: it is the machine's, not a folder's. Raises NothingHolds."""
    from kimi_agent.workspaces.sandbox.canary import RESIDUE

    reasons: list[tuple[str, str]] = []
    for rung in rungs:
        reason, checks = trouble(rung), []
        if not reason:
            try:
                checks = _try(rung)
            except (BoxError, OSError, ValueError) as error:
                reason = str(error)
        failed = [check.name for check in checks if not check.held]
        if checks and RESIDUE[rung].issuperset(failed):
            return BoxState(rung, tuple(reasons), tuple(checks))
        reasons.append((rung, reason or f"the canary got through: {', '.join(failed)}"))
    raise NothingHolds(reasons)


def _try(rung: Rung) -> list[Check]:
    from kimi_agent.workspaces.sandbox import canary
    from kimi_agent.workspaces.sandbox.client import Zygote

    with _folder() as folder:
        profile = canary.prepare(folder)
        with contextlib.closing(Zygote(rung, folder, profile, removes=True)) as zygote:
            return canary.examine(zygote, folder, profile)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    import tempfile

    from kimi_agent.workspaces.sandbox.client import lay_out

    with tempfile.TemporaryDirectory(prefix="kimi-box-", ignore_cleanup_errors=True) as name:
        folder = Path(os.path.realpath(name))
        lay_out(folder)
        yield folder


def trouble(rung: Rung) -> str:
    """Why a rung cannot be had here, as far as one can see without trying; empty when it may be tried."""
    from kimi_agent.workspaces.sandbox import bwrap, landlock, seccomp

    if sys.platform != "linux":
        return f"there is no box for {sys.platform} yet"
    if not seccomp.supported():
        return f"there is no table of system calls for {os.uname().machine}"
    if rung == "R2":
        return bwrap.trouble()
    if rung == "R1" and (found := landlock.abi()) < _LANDLOCK:
        return (
            f"Landlock {f'of ABI {found} is too old' if found else 'is not in this kernel'} (ABI {_LANDLOCK} is needed)"
        )
    return ""
