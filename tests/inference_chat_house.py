"""A small tokenizer in K2's file format, made by our own code, and a sampler that speaks through a grammar."""

import base64
import json
import random
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from inference_backend.chat.parser import CallArguments, CallEnded, CallStarted, ContentText, Piece, ReasoningText
from inference_backend.chat.tokenizer import Tokenizer

SAMPLE = """
The quick brown fox reads the file and writes the answer. functions.Read:0 functions.Write:1 functions.Bash:2
{"path": "src/main.py", "content": "def main():\\n    return 0\\n", "limit": 200, "true": true, "null": null}
## Return of functions.Read:0 system user assistant tool tool_declare Hello 北京 你好 it's 12345 é
"""
NAMED = {
    0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 6: "<|start_header_id|>",
    7: "<|end_header_id|>", 9: "[EOT]", 10: "<|im_system|>", 11: "<|tool_calls_section_begin|>",
    12: "<|tool_calls_section_end|>", 13: "<|tool_call_begin|>", 14: "<|tool_call_argument_begin|>",
    15: "<|tool_call_end|>", 17: "<|im_middle|>", 18: "<|media_begin|>", 19: "<|media_content|>", 20: "<|media_end|>",
    21: "<|media_pad|>", 22: "<think>", 23: "</think>", 254: "[UNK]", 255: "[PAD]",
}  # fmt: skip
"""Names of the special ids, as offsets from the first, as K2-Thinking and newer have them."""


def train(sample: str, merges: int) -> list[bytes]:
    """Tokens of a byte-level BPE in order of rank: the 256 bytes, then the most frequent pairs of `sample`'s words."""
    tokens = [bytes([byte]) for byte in range(256)]
    words = Counter(tuple(bytes([b]) for b in f" {word}".encode()) for word in sample.split())
    for _ in range(merges):
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        new = {a + b: (a, b) for a, b in pairs}
        best = max(new, key=lambda joined: (pairs[new[joined]], joined), default=None)
        if best is None:
            break
        if best not in tokens:
            tokens.append(best)
        words = Counter({_merge(word, best): count for word, count in words.items()})
    return tokens


def _merge(word: tuple[bytes, ...], best: bytes) -> tuple[bytes, ...]:
    out: list[bytes] = []
    for part in word:
        if out and out[-1] + part == best:
            out[-1] = best
        else:
            out.append(part)
    return tuple(out)


def write_tokenizer(folder: Path, *, merges: int = 120, thinking: bool = True, **config: Any) -> None:
    """tiktoken.model and tokenizer_config.json: 256 bytes, at most `merges` more tokens, 256 special ids."""
    tokens = train(SAMPLE, merges)
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)]
    (folder / "tiktoken.model").write_text("".join(lines))
    named = {offset: name for offset, name in NAMED.items() if thinking or "think" not in name}
    added = {str(len(tokens) + offset): {"content": name, "special": True} for offset, name in named.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added, **config}))


@cache
def tiny_tokenizer(*, thinking: bool = True) -> Tokenizer:
    with TemporaryDirectory() as folder:
        write_tokenizer(Path(folder), thinking=thinking)
        return Tokenizer.load(Path(folder))


def tokens_of(text: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of `text` with the special tokens that it spells, as a model would write them."""
    ids: list[int] = []
    rest = text
    while rest:
        places = [(rest.find(name), name) for name in tokenizer.special if name in rest]
        start, name = min(places, default=(len(rest), ""))
        ids += tokenizer.encode(rest[:start])
        ids += [tokenizer.special[name]] if name else []
        rest = rest[start + len(name) :]
    return ids


def reply(pieces: list[Piece]) -> dict[str, Any]:
    """A reply put together from its pieces, which must come in a well-formed order."""
    out: dict[str, Any] = {"reasoning": "", "content": "", "calls": [], "complete": []}
    open_call = None
    for piece in pieces:
        if isinstance(piece, CallStarted):
            assert open_call is None
            assert piece.index == len(out["calls"])
            open_call = piece.index
            out["calls"].append({"id": piece.id, "name": piece.name, "arguments": ""})
        elif isinstance(piece, CallArguments):
            assert piece.index == open_call
            assert piece.text
            out["calls"][-1]["arguments"] += piece.text
        elif isinstance(piece, CallEnded):
            assert piece.index == open_call
            assert isinstance(json.loads(out["calls"][-1]["arguments"]), dict)
            out["complete"].append(piece.complete)
            open_call = None
        else:
            assert open_call is None
            assert piece.text
            out["reasoning" if isinstance(piece, ReasoningText) else "content"] += piece.text
            assert isinstance(piece, ReasoningText | ContentText)
    assert open_call is None
    return out


class Sampler:
    """Draws a reply from what a grammar allows, at random but in a hurry to end."""

    def __init__(self, tokenizer: Tokenizer, seed: int, hurry: float = 0.5) -> None:
        self._random, self._hurry = random.Random(seed), hurry
        special = tokenizer.special
        self._ends = [special[name] for name in ("<|im_end|>", "[EOS]", "[EOT]")]
        self._markers = [special[name] for name in NAMED.values() if name in special and "tool_call" in name]
        self._quote = tokenizer.encode('"')
        self._closers = [tokenizer.encode(text)[0] for text in "}],@"]
        self._plain = [tokenizer.encode(chr(code))[0] for code in range(32, 127)]

    def draw(self, grammar: Any, limit: int = 4000) -> list[int]:
        """Tokens up to the end token, which is left out."""
        out: list[int] = []
        while len(out) < limit:
            for token in grammar.forced():
                grammar.accept(token)
                out.append(token)
            mask = grammar.allowed()
            assert mask is not None, grammar.notes
            token = self._pick(mask, hurry=self._hurry if len(out) < 150 else 0.95)
            grammar.accept(token)
            if token in self._ends:
                return out
            out.append(token)
        raise AssertionError(f"no end within {limit} tokens")

    def _pick(self, mask: Any, hurry: float) -> int:
        if self._random.random() < hurry:
            rest = (self._closers, self._plain) if self._random.random() < 0.5 else (self._plain,)
            for group in (self._ends, self._markers, self._quote, *rest):
                able = [token for token in group if mask[token]]
                if able:
                    return self._random.choice(able)
        ids = np.flatnonzero(mask)
        assert len(ids)
        return int(ids[self._random.randrange(len(ids))])
