"""Conversations as tokens to train on: rendered as the server renders them, with a mark on what the model must write.

A data set is a folder: `manifest.json`, `tools.json`, `train-*.jsonl.gz` and `held_out.jsonl.gz`, one JSON object per line
with `messages` as an OpenAI client sends them, the last answer included. A line may have `tools` of its own.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.chat.render import render
from inference_backend.chat.template import TEMPLATES, Template
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.errors import EngineError, TrainingError

TEMPLATE = TEMPLATES["k2-instruct"]
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Encoded:
    tokens: Array  # [T] int32
    trained: Array  # [T] bool: the model must write this token itself

    def __len__(self) -> int:
        return len(self.tokens)


def encode(
    messages: Sequence[dict[str, Any]],
    tools: Sequence[dict[str, Any]],
    tokenizer: Tokenizer,
    template: Template = TEMPLATE,
) -> Encoded:
    """A whole conversation. What each assistant turn says, its `<|im_end|>` included, is trained; the head of a turn is not.

    Raises RequestError for messages that no server would take.
    """
    rendered = render(messages, tools, tokenizer=tokenizer, template=template, add_generation_prompt=False)
    tokens = np.asarray(rendered.tokens, np.int32)
    trained = np.zeros(len(tokens), bool)
    assistant, middle, end = (tokenizer.marker(name) for name in ("<|im_assistant|>", "<|im_middle|>", "<|im_end|>"))
    ends, middles = np.flatnonzero(tokens == end), np.flatnonzero(tokens == middle)
    for opened in np.flatnonzero(tokens == assistant):  # markers are placed by the renderer alone: no text can be one
        first = middles[np.searchsorted(middles, opened)] + 1
        trained[first : ends[np.searchsorted(ends, first)] + 1] = True
    return Encoded(tokens, trained)


def read_tools(folder: Path) -> list[dict[str, Any]]:
    """The tools of the data set. Raises TrainingError."""
    try:
        tools = json.loads((folder / "tools.json").read_bytes())
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"{folder / 'tools.json'} cannot be read: {error}", "Synthesise the data set again."
        ) from None
    if not isinstance(tools, list):
        raise TrainingError(f"{folder / 'tools.json'} is no list of tools")
    return tools


def read_conversations(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """The lines of `train` or `held_out`, in the order of the files. Raises TrainingError that names file and line."""
    paths = sorted(folder.glob(f"{split}*.jsonl.gz"))
    if not paths:
        raise TrainingError(f"{folder} has no {split}*.jsonl.gz", "Synthesise the data set first.")
    for path in paths:
        try:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    one = json.loads(line)
                    if not isinstance(one, dict) or not isinstance(one.get("messages"), list):
                        raise TrainingError(f"{path}, line {number}: no object with messages")
                    yield one
        except (OSError, EOFError, ValueError) as error:
            raise TrainingError(f"{path} is damaged: {error}", "Synthesise the data set again.") from None


def encode_all(
    lines: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]], tokenizer: Tokenizer, longest: int
) -> list[Encoded]:
    """Every conversation; those over `longest` tokens are left out. Raises TrainingError that names the line."""
    made = []
    for number, line in enumerate(lines, 1):
        try:
            one = encode(line["messages"], line.get("tools", tools), tokenizer)
        except EngineError as error:
            raise TrainingError(f"conversation {line.get('id', number)}: {error}") from None
        if len(one) <= longest:
            made.append(one)
    return made


def chained(
    lines: Sequence[dict[str, Any]], budgets: Sequence[int], sizes: Sequence[int], seed: int
) -> list[dict[str, Any]]:
    """Long conversations out of short ones: one task after the other in one session, up to so many tokens as each of `budgets`.

    `sizes` are the tokens of `lines`. The system message comes once; calls are numbered through when they are rendered.
    """
    rng, made = Random(seed), list[dict[str, Any]]()
    alike: dict[str, list[int]] = {}
    for index, line in enumerate(lines):
        alike.setdefault(json.dumps([line.get("tools"), _system(line)]), []).append(index)
    groups = sorted(alike.values(), key=len)
    for budget in budgets:
        group = groups[-1] if rng.random() < 0.9 else rng.choice(groups)
        first = lines[rng.choice(group)]
        messages, used = list(_system(first)), 0
        while True:
            index = rng.choice(group)
            if used + sizes[index] > budget and used:
                break
            more = lines[index]["messages"][len(_system(lines[index])) :]
            messages += _renamed(more, f"{len(messages)}.")
            used += sizes[index]
        made.append({**first, "id": f"chain-{len(made)}", "messages": messages})
    return made


def _system(line: dict[str, Any]) -> list[dict[str, Any]]:
    first = line["messages"][:1]
    return first if first and first[0].get("role") == "system" else []


def _renamed(messages: Sequence[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """The same with call ids of their own: two episodes may both have a `functions.ReadFile:0`."""
    made = []
    for message in messages:
        if message.get("tool_calls"):
            calls = [{**call, "id": prefix + str(call.get("id"))} for call in message["tool_calls"]]
            message = {**message, "tool_calls": calls}
        if message.get("role") == "tool":
            message = {**message, "tool_call_id": prefix + str(message.get("tool_call_id"))}
        made.append(message)
    return made


def common_start(conversations: Sequence[Encoded]) -> int:
    """How many tokens all conversations begin with, none of them trained: system prompt and tools, as a rule."""
    if not conversations:
        return 0
    first = conversations[0]
    length = int(np.argmax(first.trained)) if first.trained.any() else len(first)
    for one in conversations[1:]:
        part = one.tokens[:length]
        differs = np.flatnonzero(part != first.tokens[: len(part)])
        length = min(len(part), int(differs[0]) if len(differs) else length)
    return length
