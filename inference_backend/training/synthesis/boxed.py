"""Goals of a model's work: the code that it wrote runs where its commands ran, in the box."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from inference_backend.training.synthesis.goals import COMMAND_SECONDS, Goal, argv_of, unexpected, unlike
from kimi_agent.core.access import BoxView
from kimi_agent.core.workspace import Workspace

MakeWorkspace: TypeAlias = Callable[[Path, Path], Workspace]
NO_BOX = "the goal runs code, and there is no box here"


async def missed(goal: Goal, folder: Path, answer: str, box: BoxView | None, make: MakeWorkspace) -> tuple[str, ...]:
    """What is missed of a goal in `folder`. Its commands run in a workspace that `make` makes of the folder and a scratch one.

    A goal with commands is never reached where no box holds them.
    """
    reasons = unlike(goal, folder, answer)
    if reasons or not goal.commands:
        return reasons
    if box is None or box.prove().rung == "R0":
        return (NO_BOX,)
    scratch = Path(tempfile.mkdtemp(prefix="kimi-goal-"))
    workspace = make(folder, scratch)
    try:
        for command in goal.commands:
            said = list[bytes]()
            ended = await workspace.run(
                argv_of(command), cwd=folder, env={}, timeout=COMMAND_SECONDS, on_output=said.append
            )
            if reason := unexpected(command, ended.code, b"".join(said).decode("utf-8", "replace")):
                return (reason,)
    finally:
        await workspace.aclose()
        shutil.rmtree(scratch, ignore_errors=True)
    return ()
