"""From a data set to tokens, in stages that leave a mark: what is there already is not made again.

The folder of a run: `recipe.json` (whose run it is), `begun/` (the checkpoint that it began with, if any), `known/` (what that
did already), `tokenizer/`, `encoded/`, `state/`, `log.jsonl`, `curves/`, `checkpoint/`.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_backend.chat.render import declaration
from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.checkpoint.folder import SINGLE, Checkpoint, Progress, quiet
from inference_backend.checkpoint.writer import write_file, write_text
from inference_backend.config import load_config
from inference_backend.errors import CheckpointError, TrainingError
from inference_backend.training.conversations import (
    TEMPLATE,
    Encoded,
    chained,
    common_start,
    encode_all,
    read_conversations,
    read_tools,
)
from inference_backend.training.cuts import Cuts, own_words
from inference_backend.training.export import TOKENIZER
from inference_backend.training.recipe import Recipe
from inference_backend.training.trainer import PARTS, Data
from inference_backend.training.vocabulary import train_ranks, words_of, write_tokenizer

KINDS = "train", "chains", "long", "held_out"
SAMPLE = 4_000
"""Conversations that the tokenizer is trained on, at most: with more, rare characters fill it, and words are single letters."""
HELD_OUT = 2000
"""Held-out conversations that are encoded, at most."""
SIZES = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "q_lora_rank", "kv_lora_rank", "qk_nope_head_dim",
    "qk_rope_head_dim", "v_head_dim", "intermediate_size", "moe_intermediate_size", "n_routed_experts", "n_shared_experts",
    "num_experts_per_tok", "first_k_dense_replace",
)  # fmt: skip
"""What a checkpoint that a run begins with must share with its recipe, by the names of config.json."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The run's folder."""

    path: Path

    @property
    def tokenizer(self) -> Path:
        return self.path / "tokenizer"

    @property
    def begun(self) -> Path:
        return self.path / "begun"

    @property
    def known(self) -> Path:
        return self.path / "known"

    @property
    def encoded(self) -> Path:
        return self.path / "encoded"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def curves(self) -> Path:
        return self.path / "curves"


def claim(folder: Folder, recipe: Recipe, data: Path, begin: Path | None = None) -> None:
    """Makes the folder the run's, or finds that it is. `begin`: the checkpoint whose weights and tokenizer it begins with.

    Raises TrainingError where the folder is that of another recipe, other data or another beginning, or where the checkpoint is
    missing or of other sizes; CheckpointError.
    """
    facts = {"recipe": recipe.plain(), "data": fingerprint(data)}
    if begin is None and recipe.goes_on:
        raise TrainingError(f"the recipe {recipe.name} goes on from a checkpoint", "Give its folder: --from FOLDER.")
    if begin is not None:
        facts["from"] = _checksum(begin)
        _same_sizes(begin, recipe)
    folder.path.mkdir(parents=True, exist_ok=True)
    mark = json.dumps(facts, indent=1) + "\n"
    path = folder.path / "recipe.json"
    if path.exists():
        if path.read_text(encoding="utf-8") != mark:
            raise TrainingError(
                f"{folder.path} was begun with another recipe or other data", "Give a new folder, or delete this one."
            )
        return
    if any(folder.path.iterdir()):
        raise TrainingError(f"{folder.path} is not empty", "Give a new folder, or delete this one.")
    if begin is not None:
        shutil.copytree(begin, folder.begun)
        folder.tokenizer.mkdir()
        for name in TOKENIZER:
            shutil.copyfile(begin / name, folder.tokenizer / name)
    write_text(path, mark)


def recipe_of(folder: Folder) -> Recipe:
    """Of a run that has made steps. Raises TrainingError where there is none."""
    path = folder.path / "recipe.json"
    if not path.exists() or not (folder.state / SINGLE).exists():
        raise TrainingError(f"{folder.path} is no run that was trained", "Train one first: inference_backend train.")
    try:
        return Recipe(**json.loads(path.read_text("utf-8"))["recipe"])
    except (ValueError, KeyError, TypeError):
        raise TrainingError(f"{path} is damaged, or of another version", "Begin anew, in another folder.") from None


def _checksum(checkpoint: Path) -> str:
    missing = [name for name in (SINGLE, *TOKENIZER) if not (checkpoint / name).is_file()]
    if missing:
        raise CheckpointError(f"{checkpoint} has no {missing[0]}", "Give the folder of a checkpoint.")
    return hashlib.sha256((checkpoint / SINGLE).read_bytes()).hexdigest()


def _same_sizes(begin: Path, recipe: Recipe) -> None:
    """Raises TrainingError where the checkpoint is not of the recipe's sizes. Its vocabulary is its own."""
    found, wanted = load_config(begin), recipe.config(Tokenizer.load(begin).ordinary_count, long=True)
    for name in SIZES:
        if getattr(found, name) != getattr(wanted, name):
            raise TrainingError(
                f"{begin} has another {name} than the recipe: {getattr(found, name)}, not {getattr(wanted, name)}",
                f"Give a checkpoint that the recipe {recipe.name} has made, or the recipe that has made this one.",
            )


def fingerprint(data: Path) -> str:
    """Of the data set: its manifest and tools, names and sizes of its files. Raises TrainingError where there is none."""
    files = sorted(data.glob("*.jsonl.gz"))
    if not files:
        raise TrainingError(f"{data} has no train-*.jsonl.gz", "Synthesise the data set first.")
    digest = hashlib.sha256()
    for path in (data / "manifest.json", data / "tools.json"):
        digest.update(path.read_bytes() if path.exists() else b"")
    for path in files:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
    return digest.hexdigest()


def tokenizer_of(folder: Folder, recipe: Recipe, data: Path, progress: Progress = quiet) -> Tokenizer:
    """The run's tokenizer, trained where it is not there yet."""
    if not (folder.tokenizer / "tokenizer_config.json").exists():
        progress("training the tokenizer", 0, 1)
        folder.tokenizer.mkdir(exist_ok=True)
        lines = list(islice(read_conversations(data, "train"), SAMPLE))
        write_tokenizer(folder.tokenizer, train_ranks(words_of(_texts(lines, read_tools(data))), recipe.vocabulary))
        progress("training the tokenizer", 1, 1)
    return Tokenizer.load(folder.tokenizer)


def _texts(lines: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> list[tuple[str, int]]:
    """What the tokenizer sees: each message once, and what all conversations share an eighth as often as it is used."""
    often = max(len(lines) // 8, 1)
    texts = [(declaration(tools, TEMPLATE), often)] if tools else []
    # what the template itself writes
    texts += [(name, len(lines)) for name in ("user", "assistant", "system", "tool")]
    texts += [(f"## Return of functions.{tool['function']['name']}:", len(lines)) for tool in tools]
    systems = {m["content"] for line in lines for m in line["messages"] if m["role"] == "system" and m.get("content")}
    texts += [(text, max(often // len(systems), 1)) for text in sorted(systems)]
    for line in lines:
        for message in line["messages"]:
            if message["role"] != "system":
                calls = message.get("tool_calls") or []
                texts += [(str(call["function"]["arguments"]), 1) for call in calls]
                texts.append((str(message.get("content") or ""), 1))
    return texts


def encoded_of(folder: Folder, recipe: Recipe, data: Path, tokenizer: Tokenizer, progress: Progress = quiet) -> Data:
    """All conversations as tokens, encoded where that is not done yet."""
    if not (folder.encoded / SINGLE).exists():
        folder.encoded.mkdir(exist_ok=True)
        made = _encode(recipe, data, tokenizer, progress)
        start = common_start([one for conversations in made.values() for one in conversations])
        tensors = {name: array for kind, ones in made.items() for name, array in _packed(kind, ones).items()}
        write_file(folder.encoded / SINGLE, {**tensors, "start": np.asarray([start], np.int64)})
    return read_encoded(folder)


def read_encoded(folder: Folder) -> Data:
    """What `encoded_of` left. Raises CheckpointError where there is none."""
    stored = Checkpoint(folder.encoded)
    kinds = {kind: _unpacked(stored, kind) for kind in KINDS}
    start = int(stored.array("start")[0])
    return Data(kinds, start, Cuts(Tokenizer.load(folder.tokenizer), own_words(kinds["train"], start)))


def _encode(recipe: Recipe, data: Path, tokenizer: Tokenizer, progress: Progress) -> dict[str, list[Encoded]]:
    tools, made = read_tools(data), dict[str, list[Encoded]]()
    lines = list(read_conversations(data, "train"))
    held = list(islice(read_conversations(data, "held_out"), HELD_OUT))
    progress("encoding", 0, len(KINDS))
    made["train"] = encode_all(lines, tools, tokenizer, recipe.context)
    made["held_out"] = encode_all(held, tools, tokenizer, recipe.context)
    progress("encoding", 2, len(KINDS))
    start = common_start(made["train"])
    sizes = [len(one) - start for one in encode_all(lines, tools, tokenizer, 1 << 30)]
    longest, rng = recipe.longest, Random(recipe.seed)
    annealing = 1 - recipe.schedule.anneal_from / recipe.steps
    for kind, least, most, share in (
        ("chains", recipe.context // 3, recipe.context, recipe.chains),
        ("long", recipe.context, longest, recipe.long * annealing + recipe.far),
    ):
        in_a_step = max(recipe.batch / ((least + most) / 2), PARTS)  # a part of a step has at least one
        count = int(share * recipe.steps * in_a_step) + 1 if share else 0
        budgets = [max(int(rng.uniform(least, most)) - start - 64, 1) for _ in range(count)]
        made[kind] = encode_all(chained(lines, budgets, sizes, recipe.seed), tools, tokenizer, most)
        progress("encoding", len(made), len(KINDS))
    return made


def _packed(kind: str, conversations: Sequence[Encoded]) -> dict[str, NDArray[Any]]:
    ends = np.cumsum([0, *(len(one) for one in conversations)])
    empty = [np.zeros(0, np.int32)]
    return {
        f"{kind}.tokens": np.concatenate([one.tokens for one in conversations] or empty).astype(np.int32),
        f"{kind}.trained": np.concatenate([one.trained for one in conversations] or empty).astype(np.uint8),
        f"{kind}.ends": ends.astype(np.int64),
    }


def _unpacked(stored: Checkpoint, kind: str) -> list[Encoded]:
    tokens, trained = stored.array(f"{kind}.tokens"), stored.array(f"{kind}.trained").astype(bool)
    ends = stored.array(f"{kind}.ends").tolist()
    return [Encoded(tokens[a:b], trained[a:b]) for a, b in pairwise(ends)]
