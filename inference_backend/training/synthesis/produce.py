"""The whole way from a seed to a dataset, in parts that several processes make and that a killed run need not make again."""

import asyncio
import hashlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from inference_backend.errors import RequestError
from inference_backend.training.synthesis.dataset import (
    FORMAT,
    Example,
    example_of,
    read_examples,
    size_of,
    write_examples,
    write_json,
    write_whole,
)
from inference_backend.training.synthesis.draw import NotDrawn
from inference_backend.training.synthesis.families import FAMILIES
from inference_backend.training.synthesis.plan import TRIES, Slot, draw_task, slots
from inference_backend.training.synthesis.sift import Sieve, too_long

PART = 100
"""Tasks of one part."""
PER_FILE = 5_000
"""Examples of one file of the dataset."""
Progress = Callable[[str, int, int], None]


class Order(Struct, frozen=True, omit_defaults=True):
    """What was asked for. A larger order of the same seed goes on where a smaller one ended. `families`: these alone."""

    episodes: int
    held_out: int
    seed: int
    families: tuple[str, ...] = ()


class Part(Struct, frozen=True):
    """Some tasks that are done one after another, and the file in which what came of them is kept."""

    path: Path
    slots: Sequence[Slot]
    seed: int

    @property
    def facts(self) -> Path:
        """Written last: what was rejected, and what the model was told."""
        return self.path.with_name(f"{self.path.name.partition('.')[0]}.json")


def produce(
    out: Path, order: Order, jobs: int = 1, progress: Progress = lambda what, done, total: None
) -> dict[str, Any]:
    """Make a dataset in `out`, or what is missing of it; its manifest. The same order gives the same bytes.

    `out/parts` keeps what was made, so that a run which was stopped goes on; it may be removed in the end. Raises RequestError
    when it is of another seed or other families, or when there is no such family; OSError.
    """
    if unknown := [name for name in order.families if name not in FAMILIES]:
        raise RequestError(f"there is no family {unknown[0][:40]!r}", f"There are {', '.join(FAMILIES)}.")
    folder = out / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    _same_seed(folder / "seed.json", [order.seed, *order.families] if order.families else order.seed)
    parts = list(_parts(folder, order))
    missing = [part for part in parts if not part.facts.exists()]
    total = sum(len(part.slots) for part in parts)
    done = total - sum(len(part.slots) for part in missing)
    progress("episodes", done, total)
    for part in _each(jobs, missing):
        done += len(part.slots)
        progress("episodes", done, total)
    return _gather(out, parts, order)


def _same_seed(path: Path, seed: object) -> None:
    if path.exists() and json.loads(path.read_text()) != seed:
        raise RequestError(
            f"{path.parent} holds the parts of another seed or of other families", "Give another folder, or remove it."
        )
    write_json(path, seed)


def _parts(folder: Path, order: Order) -> Iterator[Part]:
    every = list(slots(order.episodes, order.held_out, order.families))
    for split in ("train", "held_out"):
        own = [slot for slot in every if slot.split == split]
        for at in range(0, len(own), PART):
            chunk = own[at : at + PART]
            yield Part(folder / f"{split}-{at:06d}-{len(chunk):03d}.jsonl.gz", chunk, order.seed)


def _each(jobs: int, parts: Sequence[Part]) -> Iterator[Part]:
    if jobs <= 1 or len(parts) <= 1:
        for part in parts:
            make_part(part)
            yield part
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for part, future in [(part, pool.submit(make_part, part)) for part in parts]:
            future.result()
            yield part


def make_part(part: Part) -> None:
    examples, facts = asyncio.run(_perform(part.slots, part.seed))
    write_examples(part.path, examples)
    write_json(part.facts, facts)


async def _perform(chunk: Sequence[Slot], seed: int) -> tuple[list[Example], dict[str, Any]]:
    from inference_backend.training.synthesis.rooms import Room

    examples: list[Example] = []
    rejected: Counter[str] = Counter()
    facts: dict[str, Any] = {}
    async with Room() as room:
        for slot in chunk:
            for attempt in range(TRIES):
                try:
                    task = draw_task(slot, seed, attempt)
                except NotDrawn:
                    rejected[f"{slot.family}: could not be drawn"] += 1
                    continue
                episode = await room.perform(task)
                reason = "did not reach its goal" if episode.wrong else "too long" if too_long(episode.messages) else ""
                if not reason and not await room.replays(episode):
                    reason = "another run went another way"
                if not reason:
                    facts |= {"system": episode.system, "tools": episode.tools}
                    examples.append(example_of(task, episode.messages))
                    break
                rejected[f"{slot.family}: {reason}"] += 1
    return examples, {**facts, "rejected": dict(sorted(rejected.items()))}


# --- parts into a dataset -------------------------------------------------------------------------------------------------


def _gather(out: Path, parts: Sequence[Part], order: Order) -> dict[str, Any]:
    """Write the dataset's files and its manifest out of all parts."""
    sieve, rejected = Sieve(), Counter[str]()
    kept: dict[str, list[Example]] = {"train": [], "held_out": []}
    files: dict[str, str] = {}
    tally = _Tally()
    facts: dict[str, Any] = {}

    def flush() -> None:
        number = sum(name.startswith("train-") for name in files)
        name = f"train-{number:05d}.jsonl.gz"
        files[name] = write_examples(out / name, kept["train"])
        kept["train"].clear()

    for old in out.glob("*.jsonl.gz"):
        old.unlink()
    for part in parts:
        told = json.loads(part.facts.read_text("utf-8"))
        rejected.update(told.pop("rejected"))
        facts |= told
        for example in read_examples(part.path):
            if sieve.keep(example):
                kept[example.split].append(example)
                tally.count(example)
        while len(kept["train"]) >= PER_FILE:
            flush()
    if kept["train"]:
        flush()
    files["held_out.jsonl.gz"] = write_examples(out / "held_out.jsonl.gz", kept["held_out"])
    system = str(facts.get("system", "")).encode()
    write_whole(out / "system.txt", system)
    write_json(out / "tools.json", facts.get("tools", []))
    for name in ("system.txt", "tools.json"):
        files[name] = hashlib.sha256((out / name).read_bytes()).hexdigest()
    manifest = {
        "format": FORMAT,
        "order": to_builtins(order),
        "families": len(order.families or FAMILIES),
        **tally.told(),
        "rejected": dict(sorted(rejected.items())),
        "dropped": dict(sorted(sieve.dropped.items())),
        "files": files,
        "hash": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
    }
    write_json(out / "manifest.json", manifest)
    return manifest


class _Tally:
    """Counts of what is in a dataset."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._splits: Counter[str] = Counter()
        self._unseen: Counter[str] = Counter()
        self._templates: set[str] = set()
        self._characters = self._steps = 0

    def count(self, example: Example) -> None:
        self._splits[example.split] += 1
        if example.split == "train":
            self._counts[example.family, example.language] += 1
            self._templates.add(example.template)
            self._characters += size_of(example.messages)
            self._steps += sum(message["role"] == "assistant" for message in example.messages)
        else:
            self._unseen["+".join(example.holds_out)] += 1

    def told(self) -> dict[str, Any]:
        train = max(1, self._splits["train"])
        by_family: dict[str, dict[str, int]] = {}
        for (family, language), number in sorted(self._counts.items()):
            by_family.setdefault(family, {})[language] = number
        return {
            "examples": dict(sorted(self._splits.items())),
            "train": by_family,
            "held_out": dict(sorted(self._unseen.items())),
            "templates": len(self._templates),
            "mean_characters": round(self._characters / train, 1),
            "mean_steps": round(self._steps / train, 2),
        }
