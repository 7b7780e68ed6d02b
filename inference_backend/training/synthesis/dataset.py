"""A dataset on disk: `manifest.json`, `tools.json`, `system.txt`, `train-*.jsonl.gz` and `held_out.jsonl.gz`, one example a line.

Everything here reads and writes files and knows neither the agent nor the families: training and evaluation import it alone.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from inference_backend.training.synthesis.goals import Goal
from inference_backend.training.synthesis.task import Split, Task
from inference_backend.training.synthesis.words import Language
from inference_backend.training.synthesis.world import World

FORMAT = 1
"""Of the lines of a dataset; a reader refuses another."""


class Example(msgspec.Struct, frozen=True):
    """One line. `messages` are OpenAI chat messages, system prompt and last answer included, as a server of the model gets them.

    `template` names the phrasing, `holds_out` what training has not seen. `world`, `turns` and `goal` pose the task anew.
    """

    id: str
    family: str
    language: Language
    template: str
    world_seed: int
    split: Split
    holds_out: tuple[str, ...]
    messages: list[dict[str, Any]]
    turns: tuple[str, ...]
    world: World
    goal: Goal
    refuses: str = ""


def example_of(task: Task, messages: list[dict[str, Any]]) -> Example:
    return Example(
        task.id, task.family, task.language, task.template, task.seed, task.split, task.holds_out, messages, task.turns,
        task.world, task.goal, task.refuses,
    )  # fmt: skip


def read_examples(path: Path) -> Iterator[Example]:
    """The examples of one `.jsonl.gz` file. Raises OSError, msgspec.MsgspecError."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield msgspec.json.decode(line, type=Example)


def read_held_out(folder: Path) -> list[Example]:
    """The held-out tasks of a dataset. Raises OSError, msgspec.MsgspecError."""
    return list(read_examples(folder / "held_out.jsonl.gz"))


def training_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("train-*.jsonl.gz"))


def write_examples(path: Path, examples: Iterable[Example]) -> str:
    """Write a file whole or not at all; its SHA-256. The same examples are the same bytes."""
    lines = b"".join(msgspec.json.encode(example) + b"\n" for example in examples)
    data = gzip.compress(lines, compresslevel=6, mtime=0)
    write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is never seen half written."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.replace(path)


def write_json(path: Path, value: object) -> None:
    write_whole(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def spoken(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages but for the system prompt, which is the same in all."""
    return [message for message in messages if message["role"] != "system"]


def size_of(messages: Sequence[dict[str, Any]]) -> int:
    """Characters of a conversation without its system prompt: a third of it is a fair guess of its tokens."""
    size = 0
    for message in spoken(messages):
        size += len(message.get("content") or "")
        for call in message.get("tool_calls", ()):
            size += len(call["function"]["name"]) + len(call["function"]["arguments"])
    return size
