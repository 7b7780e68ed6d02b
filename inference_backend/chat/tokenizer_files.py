"""The two files of a K2 tokenizer as plain data, checked: `tiktoken.model` and `tokenizer_config.json`.

`tiktoken.model` has one line per ordinary token, `BASE64 RANK`, ranks from 0 on without a gap. The 256 ids behind them are
special; `added_tokens_decoder` of `tokenizer_config.json` names some, the rest are `<|reserved_token_ID|>`.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Any

from inference_backend.bounded import read_bounded
from inference_backend.errors import CheckpointError

SPECIAL_COUNT = 256
MAX_MODEL_BYTES = 64 << 20
MAX_CONFIG_BYTES = 4 << 20
MAX_TOKEN_BYTES = 1024
MAX_NAME_CHARS = 256


def read_file(path: Path, most: int) -> bytes:
    """The whole of a file of at most `most` bytes. Raises CheckpointError."""
    hint = "A K2 checkpoint has tiktoken.model and tokenizer_config.json beside its config.json."
    return read_bounded(path, most, "file of a tokenizer", CheckpointError, hint)


def read_ranks(path: Path) -> dict[bytes, int]:
    """Rank by bytes of every ordinary token. Raises CheckpointError that names the line."""
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(read_file(path, MAX_MODEL_BYTES).splitlines(), 1):
        if not line:
            continue
        try:
            encoded, rank = line.split(b" ")
            token = base64.b64decode(encoded, validate=True)
            if int(rank) != len(ranks) or not 0 < len(token) <= MAX_TOKEN_BYTES or token in ranks:
                raise ValueError
        except (ValueError, binascii.Error):
            raise CheckpointError(
                f"{path}, line {number}: not `BASE64 RANK` of a new token with rank {len(ranks)}",
                "The file is damaged or of another kind; fetch it again.",
            ) from None
        ranks[token] = len(ranks)
    missing = sum(bytes([byte]) not in ranks for byte in range(256))
    if missing:
        raise CheckpointError(
            f"{path}: {missing} of the 256 single bytes are no tokens: some texts could not be written"
        )
    return ranks


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises CheckpointError."""
    try:
        raw = json.loads(read_file(path, MAX_CONFIG_BYTES))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {str(error)[:120]}") from None
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds a {type(raw).__name__}, not an object")
    return raw


def read_special(path: Path, first: int) -> dict[str, int]:
    """Id by name of the special tokens, which are the 256 ids from `first` on. Raises CheckpointError."""
    added = read_json(path).get("added_tokens_decoder", {})
    if not isinstance(added, dict):
        raise CheckpointError(f"{path}: added_tokens_decoder is no object")
    names = {i: f"<|reserved_token_{i}|>" for i in range(first, first + SPECIAL_COUNT)}
    for key, entry in added.items():
        name = entry.get("content") if isinstance(entry, dict) else None
        if not key.isdecimal() or not key.isascii() or len(key) > 9 or int(key) not in names:
            raise CheckpointError(
                f"{path}: added token {key[:20]!r} is none of {first}..{first + SPECIAL_COUNT - 1}",
                "tiktoken.model and tokenizer_config.json are of different checkpoints, or damaged.",
            )
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME_CHARS:
            raise CheckpointError(f"{path}: added token {key} has no text")
        names[int(key)] = name
    special = {name: i for i, name in names.items()}
    if len(special) != len(names):
        raise CheckpointError(f"{path}: two added tokens have the same text")
    return special
