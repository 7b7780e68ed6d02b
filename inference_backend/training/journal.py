"""The record of a run: one JSON line per step or measurement in `log.jsonl`, and the curves that are drawn from it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inference_backend.checkpoint.writer import write_text
from inference_backend.training.answers import HeldOut
from inference_backend.training.curves import picture
from inference_backend.training.trainer import Measured


class Journal:
    """Lines are appended as they come. A run that goes on from step N first forgets what was written from N on."""

    def __init__(self, path: Path, done: int) -> None:
        self._path = path
        kept = [line for line in read_lines(path) if line["step"] < done]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def step(self, measured: Measured) -> None:
        self.write(asdict(measured))

    def held_out(self, step: int, found: HeldOut) -> None:
        self.write({"step": step, "held_out": asdict(found)})

    def write(self, line: dict[str, Any]) -> None:
        """A line with a `step`."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def draw(self, folder: Path) -> None:
        """loss.svg, load.svg, logits.svg and rate.svg."""
        folder.mkdir(exist_ok=True)
        lines = list(read_lines(self._path))
        steps = [line for line in lines if "loss" in line]
        held = [(float(line["step"]), line["held_out"]) for line in lines if "held_out" in line]
        layers = range(len(steps[0]["loads"]) if steps else 0)

        def column(name: str) -> list[tuple[float, float]]:
            return [(float(line["step"]), float(line[name])) for line in steps if line[name] is not None]

        loads = {f"layer {n + 1}": [(float(line["step"]), line["loads"][n]) for line in steps] for n in layers}
        losses = {"training": column("loss"), "held out": [(s, h["loss"]) for s, h in held]}
        write_text(folder / "loss.svg", picture("Loss per trained token", losses, logarithmic=True))
        write_text(folder / "load.svg", picture("Load of the busiest expert over the mean", loads))
        write_text(folder / "logits.svg", picture("Largest logit of attention", {"over all heads": column("logits")}))
        write_text(folder / "rate.svg", picture("Learning rate", {"rate": column("rate")}))
        right = {"tokens": [(s, h["tokens"]) for s, h in held], "episodes": [(s, h["episodes"]) for s, h in held]}
        write_text(folder / "right.svg", picture("Held out: share that is exactly right", right))


def draw_against(picture_path: Path, journals: Mapping[str, Path]) -> None:
    """One picture of the held-out loss of several runs, by name."""
    lines = {
        name: [
            (float(line["step"]), float(line["held_out"]["loss"])) for line in read_lines(path) if "held_out" in line
        ]
        for name, path in journals.items()
    }
    write_text(picture_path, picture("Held-out loss", lines, logarithmic=True))


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Whole lines; what a killed run left half-written is skipped."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and isinstance(one.get("step"), int):
            yield one
