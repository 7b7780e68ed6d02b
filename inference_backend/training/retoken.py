"""A trained model with the tokenizer that today's rules give: the same weights, a row for each token that stays.

A token that `vocabulary.py` would not make any more has no row, and what was written with it is written with its parts: the
model has to be trained on for that. All others come in the order in which today's rules join them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tokenizer_files import SPECIAL_COUNT, read_ranks
from inference_backend.checkpoint.folder import SINGLE, Checkpoint
from inference_backend.checkpoint.writer import write_file, write_text
from inference_backend.config import load_config
from inference_backend.errors import RequestError
from inference_backend.training.vocabulary import LINE_END, is_made, write_tokenizer

BY_TOKEN = "model.embed_tokens.weight", "lm_head.weight"
"""Weights with a row for each token."""
MOST = 16_384
"""Tokens of a tokenizer at most: a larger one is K2's own, or another's, whose rules are not ours."""


def order(ranks: dict[bytes, int]) -> list[bytes]:
    """The tokens that stay, in the order in which they are joined: bytes, the end of a line, the others as they were."""
    known = sorted(ranks, key=ranks.__getitem__)
    ends = [token for token in known if token == LINE_END]
    return known[:256] + ends + [token for token in known[256:] if is_made(token) and token != LINE_END]


def retoken(checkpoint: Path, out: Path) -> int:
    """Writes the checkpoint `out`; returns how many tokens have gone. Raises EngineError, and OSError where it cannot write."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} is not an empty folder", "Give a new one for the checkpoint.")
    config, ranks = load_config(checkpoint), read_ranks(checkpoint / "tiktoken.model")
    if len(ranks) > MOST:
        raise RequestError(
            f"{checkpoint} has {len(ranks):,} tokens, which `train` has not made",
            "Give a checkpoint of a run of `train`.",
        )
    ordinary, kept = Tokenizer.load(checkpoint).ordinary_count, order(ranks)
    rows = [*(ranks[token] for token in kept), *range(ordinary, config.vocab_size)]
    stored = Checkpoint(checkpoint)
    tensors = {name: np.array(stored.array(name)) for name in stored}
    for name in BY_TOKEN:
        tensors[name] = tensors[name][rows]
    raw: dict[str, Any] = json.loads((checkpoint / "config.json").read_text("utf-8"))
    raw |= {"vocab_size": len(kept) + SPECIAL_COUNT, "bos_token_id": len(kept), "eos_token_id": len(kept) + 2}
    out.mkdir(parents=True, exist_ok=True)
    write_file(out / SINGLE, tensors)
    write_tokenizer(out, {token: rank for rank, token in enumerate(kept)})
    write_text(out / "config.json", json.dumps(raw, indent=2) + "\n")
    return len(ranks) - len(kept)
