"""A trained model behind a tokenizer by today's rules: the same weights, a row for each token that stays.

The end of a line comes first, the others keep their order. A token that `vocabulary.py` would not make any more has no row, and
what was written with it is written with its parts: the model has to be trained on for that.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inference_backend.chat.tokenizer import Tokenizer
from inference_backend.chat.tokenizer_files import SPECIAL_COUNT, read_ranks
from inference_backend.checkpoint.folder import SINGLE, Checkpoint
from inference_backend.checkpoint.writer import write_file, write_text
from inference_backend.config import load_config
from inference_backend.errors import CheckpointError, RequestError
from inference_backend.training.vocabulary import LINE_END, is_made, write_tokenizer

BY_TOKEN = "model.embed_tokens.weight", "lm_head.weight"
"""Weights with a row for each token."""
MOST = 16_384
"""Tokens of a tokenizer at most: a larger one is K2's own, or another's, whose rules are not ours."""


def order(ranks: dict[bytes, int]) -> list[bytes]:
    """The tokens that stay, in the order in which they are joined: bytes, the end of a line, the others as they were."""
    known = sorted(ranks, key=ranks.__getitem__)
    singles = sorted(token for token in known if len(token) == 1)
    return singles + [LINE_END] + [token for token in known if len(token) > 1 and token != LINE_END and is_made(token)]


def retoken(checkpoint: Path, out: Path) -> int:
    """Writes the checkpoint `out`; returns how many tokens have gone. Raises EngineError; OSError where writing fails."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RequestError(f"{out} is not an empty folder", "Give a new one for the checkpoint.")
    config, tokenizer = load_config(checkpoint), Tokenizer.load(checkpoint)
    ranks, stored = read_ranks(checkpoint / "tiktoken.model"), Checkpoint(checkpoint)
    rows_there = {stored[name].shape[0] if name in stored else 0 for name in BY_TOKEN}
    _is_ours(checkpoint, ranks, rows_there == {tokenizer.vocab_size} == {config.vocab_size})
    kept = order(ranks)
    rows = rows_of(ranks, kept)
    tensors = {name: np.array(stored.array(name)) for name in stored}
    for name in BY_TOKEN:
        tensors[name] = tensors[name][rows]
    raw: dict[str, Any] = json.loads((checkpoint / "config.json").read_text("utf-8"))
    raw |= {"vocab_size": len(kept) + SPECIAL_COUNT, "bos_token_id": len(kept), "eos_token_id": len(kept) + 2}
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"{out}: {error.strerror}", "Give a folder that can be made.") from None
    write_file(out / SINGLE, tensors)
    write_tokenizer(out, {token: rank for rank, token in enumerate(kept)})
    write_text(out / "config.json", json.dumps(raw, indent=2) + "\n")
    return len(ranks) - len(kept)


def rows_of(ranks: Mapping[bytes, int], tokens: Sequence[bytes]) -> list[int]:
    """Where the rows of `tokens`, and of the special ones behind them, lie in weights made for `ranks`. Raises KeyError."""
    return [*(ranks[token] for token in tokens), *range(len(ranks), len(ranks) + SPECIAL_COUNT)]


def _is_ours(checkpoint: Path, ranks: dict[bytes, int], fits: bool) -> None:
    hint = "Give a checkpoint of a run of `train`."
    if len(ranks) > MOST:
        raise RequestError(f"{checkpoint} has {len(ranks):,} tokens, which `train` has not made", hint)
    if LINE_END not in ranks:
        raise RequestError(f"the tokenizer of {checkpoint} has no token for the end of a line in JSON", hint)
    if not fits:
        raise CheckpointError(f"tokenizer, config.json and weights of {checkpoint} do not belong together", hint)
