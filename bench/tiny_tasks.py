"""Held-out tasks done by the real program, `kimi -p` in a real folder with its tools, gates and box; then goals are checked."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inference_backend.training.rl import wilson
from inference_backend.training.synthesis.boxed import missed
from inference_backend.training.synthesis.dataset import Example
from inference_backend.training.synthesis.masks import masks_for
from inference_backend.training.synthesis.site import Site
from inference_backend.training.synthesis.world import make_world
from kimi_agent.boxed import make_box
from kimi_agent.config import Overrides, load_config
from kimi_agent.workspaces.local import LocalWorkspace
from kimi_agent.workspaces.sandbox.box import Box

TURN_SECONDS = 300
SETTINGS = "[network]\nallow_private = true  # the pages of the worlds are served on this machine\n"


@dataclass(frozen=True)
class Home:
    """A newcomer's home in `top`: no key, no model but the embedded one. `model` is another checkpoint in its place.

    `settings` stand in config.toml; with a provider and a model in it these are asked.
    """

    top: Path
    model: Path | None = None
    settings: str = ""

    def __post_init__(self) -> None:
        self.kimi_home.mkdir(parents=True, exist_ok=True)
        (self.kimi_home / "config.toml").write_text(SETTINGS + self.settings)

    @property
    def kimi_home(self) -> Path:
        return self.top / "kimi-home"

    @cached_property
    def box(self) -> Box:
        """What holds the code that goals run."""
        return make_box(load_config(self.kimi_home / "config.toml", {}, Overrides()), self.kimi_home)

    def workspace(self, folder: Path, scratch: Path) -> LocalWorkspace:
        return LocalWorkspace(folder, box=self.box, scratch=scratch)

    def run(self, folder: Path, home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`kimi` with these arguments in `folder`. Raises subprocess.TimeoutExpired."""
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the python3 of every world
        env = {**kept, "PATH": path, "HOME": str(home), "KIMI_HOME": str(self.kimi_home)}
        env |= {"KIMI_EMBEDDED_MODEL": str(self.model)} if self.model else {}
        argv = [sys.executable, "-m", "kimi_agent", *arguments]
        return subprocess.run(
            argv, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TURN_SECONDS
        )


@dataclass(frozen=True)
class Outcome:
    """`reasons` say what went wrong, one each; none: solved. `steps` are those that the expert takes."""

    task: Example
    reasons: Sequence[str]
    seconds: float
    said: Sequence[str] = field(default=())

    @property
    def solved(self) -> bool:
        return not self.reasons

    @property
    def steps(self) -> int:
        return sum(message["role"] == "assistant" for message in self.task.messages)

    @property
    def new_words(self) -> bool:
        """Asked in a phrasing that training never sees."""
        return "phrasing" in self.task.holds_out


def perform(task: Example, home: Home) -> Outcome:
    """Do one task in a new folder of `home`; several may be done at once."""
    own = home.top / task.id.rpartition("-")[2]
    folder = own / "work"
    make_world(task.world, folder)
    site = Site() if task.world.port else None
    started, said = time.perf_counter(), list[str]()
    try:
        if site is not None:
            site.pages = task.world.site
        masks = masks_for(task.world_seed, str(folder), task.world.port, site.port if site else 0)
        reasons = [reason for text in task.turns if (reason := _turn(home, folder, task, masks.real(text), said))]
        answer = masks.shown(said[-1] if said else "")
        reasons += asyncio.run(missed(task.goal, folder, answer, home.box, home.workspace))
    finally:
        if site is not None:
            site.close()
    return Outcome(task, reasons, time.perf_counter() - started, said)


def _turn(home: Home, folder: Path, task: Example, text: str, said: list[str]) -> str:
    """One request of the person; why it came to nothing, empty where it did not. What is answered joins `said`."""
    flags = [*([] if task.refuses else ["--yolo"]), *(["--continue"] if said else [])]
    try:
        done = home.run(folder, folder.parent, "-p", text, "--output-format", "json", *flags)
        result = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return f"no answer within {TURN_SECONDS} s"
    except ValueError:
        return f"kimi ended with {done.returncode}: {done.stderr[-300:]}"
    said.append(str(result["result"]))
    return "" if result["stop"] == "done" else f"a turn ended: {result['stop']} {result['error']}".strip()


def shown(outcomes: Iterable[Outcome]) -> str:
    """`96.0 % (24/25, 80-99)`: share, counts, interval; a dash where nothing was tried."""
    results = [outcome.solved for outcome in outcomes]
    if not results:
        return "-"
    low, high = wilson(sum(results), len(results))
    return f"{sum(results) / len(results):.1%} ({sum(results)}/{len(results)}, {low:.0%}-{high:.0%})"
