"""What the checkpoint that a run begins with does already: found once, before the first step, in as many pieces as needed.

`known/` in the run's folder holds, for the conversations of `train` from the first on, whether each is done exactly right.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inference_backend.checkpoint.folder import SINGLE, Checkpoint, Progress
from inference_backend.checkpoint.writer import write_file
from inference_backend.errors import TrainingError
from inference_backend.training.prepare import Folder
from inference_backend.training.team import Team

LOOKED_AT = 512
"""Conversations that are looked at between two writes."""
RIGHT = "right"


def read(folder: Folder, total: int) -> NDArray[np.bool_]:
    """Of the first conversations, or of all `total`, whether each is known; none where nobody has looked. Raises EngineError."""
    path = folder.known / SINGLE
    if not path.exists():
        return np.zeros(0, np.bool_)
    stored = Checkpoint(folder.known)
    if RIGHT not in stored or len(stored[RIGHT].shape) != 1 or stored[RIGHT].shape[0] > total:
        raise TrainingError(f"{path} is not of this run", "Begin anew, in another folder.")
    return np.array(stored.array(RIGHT)).astype(np.bool_)


def find(team: Team, folder: Folder, until: Callable[[], bool], progress: Progress) -> NDArray[np.bool_] | None:
    """Goes on looking, until all are looked at or `until` says so: nothing then, and the next piece of the run goes on.

    Raises EngineError, also where the run has made steps and what it has found is gone.
    """
    total = len(team.trainer.data.kinds["train"])
    right = read(folder, total)
    if len(right) < total and team.trainer.done:
        raise TrainingError(f"{folder.known} is gone, or not whole", "Begin anew, in another folder.")
    while len(right) < total:
        progress("looking for what is known", len(right), total)
        right = np.concatenate([right, team.exactly_right(len(right), len(right) + LOOKED_AT)])
        folder.known.mkdir(exist_ok=True)
        write_file(folder.known / SINGLE, {RIGHT: right.astype(np.uint8)})
        if len(right) < total and until():
            return None
    progress("looking for what is known", total, total)
    return right
