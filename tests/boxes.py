"""Boxes for tests: one per rung that this machine offers, proved once."""

import atexit
import os
from functools import cache
from pathlib import Path

from kimi_agent.workspaces.local import LocalWorkspace
from kimi_agent.workspaces.sandbox.box import Box
from kimi_agent.workspaces.sandbox.policy import Folders, Places
from kimi_agent.workspaces.sandbox.proof import RUNGS
from kimi_agent.workspaces.spawn import Room

NOWHERE = "/nonexistent/home"


@cache
def box(rung: str) -> Box:
    made = Box(Places(f"{NOWHERE}/.kimi", NOWHERE), rungs=[rung])
    atexit.register(made.close)
    return made


@cache
def offered() -> tuple[str, ...]:
    """The rungs that hold here."""
    return tuple(rung for rung in RUNGS if box(rung).prove().rung == rung)


def chosen() -> str:
    """The rung that tests of what knows nothing of boxes run in: `TEST_RUNG`, else the best one, or "" for none."""
    given = os.environ.get("TEST_RUNG")
    return (offered() or ("",))[0] if given is None else given


def workspace(root: Path, scratch: Path) -> LocalWorkspace:
    """The workspace of a folder in the box that tests are to run in."""
    rung = chosen()
    return LocalWorkspace(root, box=box(rung) if rung else None, scratch=scratch)


def room(root: Path, rung: str | None = None, scratch: Path | None = None) -> Room | None:
    """The box of a folder; None where tests are to run without one."""
    rung = chosen() if rung is None else rung
    if not rung:
        return None
    return Room(box(rung), Folders(os.path.realpath(root), scratch=os.path.realpath(scratch) if scratch else ""))
