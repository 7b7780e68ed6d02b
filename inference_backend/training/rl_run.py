"""Reinforcement of a trained run, whole: played, updated, played again, and kept only where it helped. In pieces, as training is.

The folder: `reinforce.json` (what it is), `state/`, `log.jsonl`, `curves/`, `policy/` (the checkpoint that plays), `before.json`
and `after.json` (held-out tasks), and `checkpoint/`, which is there only where more of them were solved after than before.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.checkpoint.folder import SINGLE, Progress
from inference_backend.checkpoint.writer import write_text
from inference_backend.config import read_config
from inference_backend.errors import TrainingError
from inference_backend.training import state
from inference_backend.training.curves import picture
from inference_backend.training.export import export
from inference_backend.training.journal import Journal, read_lines
from inference_backend.training.prepare import Folder, read_encoded, recipe_of
from inference_backend.training.recipe import Recipe
from inference_backend.training.rl import Budget, advantages, temperature, wilson
from inference_backend.training.rl_trainer import Reinforcer, Sample, Settings, Updated
from inference_backend.training.run import keep_memory
from inference_backend.training.synthesis.plan import slots
from inference_backend.training.synthesis.rollouts import Game, Played, Players
from inference_backend.training.trainer import optimiser_of

EVALUATION = Budget(share=4.0, spare=64, penalty=0.0)
"""A greedy policy is only stopped where it goes on and on."""
DATA_SEED = 1
"""Of the data set's held-out tasks."""
Results = dict[str, bool]
"""Whether each task, by its id, was solved."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Held-out tasks before and after, each played once, greedily."""

    before: Results
    after: Results

    @property
    def is_better(self) -> bool:
        return sum(self.after.values()) > sum(self.before.values())

    def told(self) -> str:
        kept = "yes" if self.is_better else "no"
        return f"Held out: {share(self.before)} before, {share(self.after)} after. kept: {kept}"


@dataclass(frozen=True, slots=True)
class Iteration:
    """What an iteration was like."""

    step: int
    heat: float
    tasks: int
    solved: float
    reward: float  # mean
    over: float  # share of episodes that were cut off
    tokens: float  # written, mean
    samples: int
    drift: float
    ptx: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    done: int
    settings: Settings
    verdict: Verdict | None  # once all iterations are done
    checkpoint: Path


def share(results: Results) -> str:
    """`82.0 % (164/200, 76-87)`: solved, with Wilson's interval of 95 %."""
    solved, of = sum(results.values()), len(results)
    low, high = wilson(solved, of)
    return f"{solved / max(of, 1):.1%} ({solved}/{of}, {low:.0%}-{high:.0%})"


def reinforce(
    run: Path,
    out: Path,
    settings: Settings,
    told: Callable[[str], None],
    progress: Progress,
    *,
    jobs: int = 1,
    seconds: float = float("inf"),
    device: str = "cpu",
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Goes on with the reinforcement of the trained run `run` in `out`, until it is done or `seconds` are over.

    Stops between iterations; the same call goes on, also after a kill, and comes to the same weights. Raises EngineError.
    """
    began, source, folder = clock(), Folder(run), Folder(out)
    keep_memory()
    recipe = recipe_of(source)
    _claim(folder, settings, source)
    reinforcer, raw = _prepared(source, recipe, settings, device)
    done = state.load(folder.state, reinforcer.model, reinforcer.optimiser)
    journal, policy = Journal(folder.log, done), out / "policy"

    def publish() -> None:
        export(policy, reinforcer.model, raw, source.tokenizer)

    with Players(jobs) as players:
        if not (out / "before.json").exists():
            publish()
            _judge(players, policy, settings, out / "before.json", "before", progress)
        while done < settings.iterations and (clock() - began < seconds):
            publish()
            line = _iterate(players, policy, reinforcer, done, progress)
            journal.write(asdict(line))
            told(_brief(line, settings))
            done += 1
            state.save(folder.state, reinforcer.model, reinforcer.optimiser, done)
            _draw(folder)
        journal.close()
        if done < settings.iterations:
            return Outcome(done, settings, None, folder.checkpoint)
        if not (out / "after.json").exists():
            publish()
            _judge(players, policy, settings, out / "after.json", "after", progress)
    verdict = Verdict(*(json.loads((out / name).read_text("utf-8")) for name in ("before.json", "after.json")))
    if verdict.is_better:
        shutil.copytree(policy, folder.checkpoint, dirs_exist_ok=True)
    return Outcome(done, settings, verdict, folder.checkpoint)


def _claim(folder: Folder, settings: Settings, source: Folder) -> None:
    """Makes the folder that of this reinforcement, or finds that it is. Raises TrainingError."""
    folder.path.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256((source.state / SINGLE).read_bytes()).hexdigest()
    mark = json.dumps({"settings": settings.plain(), "begins_with": digest}, indent=1) + "\n"
    path = folder.path / "reinforce.json"
    if path.exists() and path.read_text("utf-8") != mark:
        raise TrainingError(
            f"{folder.path} was begun with other settings or another model", "Give a new folder, or delete this one."
        )
    if not path.exists() and any(folder.path.iterdir()):
        raise TrainingError(f"{folder.path} is not empty", "Give a new folder, or delete this one.")
    write_text(path, mark)


def _prepared(source: Folder, recipe: Recipe, settings: Settings, device: str) -> tuple[Reinforcer, dict[str, Any]]:
    """With the weights of the run, and the config.json of what it becomes."""
    raw = recipe.raw_config(Tokenizer.load(source.tokenizer).ordinary_count, long=True)
    on_cpu = torch.device(device).type == "cpu"
    dtype = torch.bfloat16 if not on_cpu or torch.backends.mkldnn.is_available() else torch.float32
    reinforcer = Reinforcer(recipe, read_config(raw), settings, read_encoded(source), device=device, dtype=dtype)
    state.load(source.state, reinforcer.model, optimiser_of(reinforcer.model, recipe))
    return reinforcer, raw


def _iterate(players: Players, policy: Path, reinforcer: Reinforcer, number: int, progress: Progress) -> Iteration:
    """Play, then update."""
    began, settings = time.perf_counter(), reinforcer.settings
    heat = temperature(number, settings.iterations, settings.heat_first, settings.heat_last)
    first = number * settings.tasks
    chosen = list(islice(slots(first + settings.tasks, 0), first, None))
    game = Game(settings.seed, settings.samples, heat, settings.budget)
    played = players.play(policy, chosen, game, _counted(f"iteration {number + 1}", len(chosen), progress))
    updated = reinforcer.update(number, samples_of(played), heat)
    return _line(number, heat, played, updated, time.perf_counter() - began)


def samples_of(played: Sequence[Played]) -> list[Sample]:
    """All episodes, each with what it earned over the others of its task."""
    return [
        Sample(rollout.pieces, advantage)
        for one in played
        for rollout, advantage in zip(one.rollouts, advantages([r.reward for r in one.rollouts]), strict=True)
    ]


def _line(number: int, heat: float, played: Sequence[Played], updated: Updated, seconds: float) -> Iteration:
    rollouts = [rollout for one in played for rollout in one.rollouts]
    count = max(len(rollouts), 1)
    return Iteration(
        number, heat, len(played), sum(r.solved for r in rollouts) / count, sum(r.reward for r in rollouts) / count,
        sum(r.over for r in rollouts) / count, sum(r.tokens for r in rollouts) / count, updated.samples, updated.drift,
        updated.ptx, seconds,
    )  # fmt: skip


def _judge(players: Players, policy: Path, settings: Settings, path: Path, when: str, progress: Progress) -> None:
    """Plays the held-out tasks of the data set, greedily; writes what was solved."""
    chosen = list(slots(0, settings.held_out))
    game = Game(DATA_SEED, 1, 0.0, EVALUATION)
    played = players.play(policy, chosen, game, _counted(f"held out, {when}", len(chosen), progress))
    write_text(path, json.dumps({one.task: one.rollouts[0].solved for one in played}, indent=1) + "\n")


def _counted(what: str, total: int, progress: Progress) -> Callable[[int], None]:
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress(what, done, total)

    progress(what, 0, total)
    return more


def _brief(line: Iteration, settings: Settings) -> str:
    return (
        f"iteration {line.step + 1} of {settings.iterations}: reward {line.reward:.3f}, solved {line.solved:.1%}, over budget "
        f"{line.over:.1%}, {line.tokens:.0f} tokens, {line.samples} episodes learnt from, drift {line.drift:.4f}, "
        f"SFT loss {line.ptx:.4f}, {line.seconds:.0f} s"
    )


def _draw(folder: Folder) -> None:
    """reward.svg, tokens.svg and ptx.svg."""
    folder.curves.mkdir(exist_ok=True)
    lines = list(read_lines(folder.log))

    def column(name: str) -> list[tuple[float, float]]:
        return [(float(line["step"]), float(line[name])) for line in lines]

    shown = {"reward": column("reward"), "solved": column("solved"), "over budget": column("over")}
    write_text(folder.curves / "reward.svg", picture("Reward, mean of an iteration", shown, across="iteration"))
    tokens = {"written by the policy": column("tokens")}
    write_text(folder.curves / "tokens.svg", picture("Tokens of an episode", tokens, across="iteration"))
    write_text(folder.curves / "ptx.svg", picture("Loss on SFT's data", {"PTX": column("ptx")}, across="iteration"))
