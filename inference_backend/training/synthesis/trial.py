"""A held-out task given to somebody: its world in a folder, its pages served, and in the end whether the goal is reached.

    for task in held_out_tasks(dataset):
        with Trial(task, folder) as trial:
            answer = run(trial.turns, cwd=folder)      # `kimi -p` with the model to be judged, one turn after another
            verdict = trial.judge(answer)              # verdict.passed, verdict.reasons

Who runs it is not this module's business: it knows neither the agent nor a model.
"""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from inference_backend.training.synthesis.dataset import read_held_out
from inference_backend.training.synthesis.goals import Verdict, check
from inference_backend.training.synthesis.site import Site
from inference_backend.training.synthesis.task import Posed
from inference_backend.training.synthesis.world import make_world


def held_out_tasks(dataset: Path, families: Sequence[str] = ()) -> list[Posed]:
    """The held-out tasks of a dataset, of some families or of all. Raises OSError, msgspec.MsgspecError."""
    return [example.posed() for example in read_held_out(dataset) if not families or example.family in families]


class Trial:
    """One task in `folder`, which must be new or empty. `turns` are what the person says, with addresses that can be reached.

    A task with `refuses` wants an agent that may do nothing which needs a permission; every other one may do all in its folder.
    """

    def __init__(self, task: Posed, folder: Path) -> None:
        self.task, self.folder = task, folder
        self.turns = task.turns
        self._site: Site | None = None

    def __enter__(self) -> Self:
        make_world(self.task.world, self.folder)
        if self.task.world.site:
            self._site = Site()
            self._site.pages = self.task.world.site
            self.turns = tuple(turn.replace(*self._addresses(self._site)) for turn in self.task.turns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._site is not None:
            self._site.close()

    def _addresses(self, site: Site) -> tuple[str, str]:
        """The address in the task, and the real one."""
        return f"127.0.0.1:{self.task.world.port}", f"127.0.0.1:{site.port}"

    def judge(self, answer: str) -> Verdict:
        """Whether the goal is reached, given the last words of the agent. Runs commands of the goal in the folder."""
        return check(self.task.goal, self.folder, answer)
