"""K2's tokenizer: byte-level BPE by tiktoken, with special ids that no text can become.

Text is always encoded as ordinary: `<|im_end|>` in a file, a tool result or a user's message gives the tokens of those ten
characters. The renderer alone places special ids.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from inference_backend.chat.tokenizer_files import SPECIAL_COUNT, read_ranks, read_special
from inference_backend.errors import CheckpointError

_WORD_END = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
PATTERN = "|".join(
    (
        r"[\p{Han}]+",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_WORD_END}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_WORD_END}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How text is cut before BPE; `&&` intersects classes, as tiktoken's regex engine knows it."""

PIECE_CHARS = 400_000
RUN_CHARS = 25_000
_LONG_RUN = re.compile(rf"\S{{{RUN_CHARS + 1},}}|\s{{{RUN_CHARS + 1},}}")


def pieces(text: str) -> Iterator[str]:
    """`text` cut where K2's own tokenizer cuts it: every 400,000 characters, and runs with or without white space every 25,000.

    BPE takes quadratic time in such runs.
    """
    for start in range(0, len(text), PIECE_CHARS):
        part = text[start : start + PIECE_CHARS]
        cuts = [cut for run in _LONG_RUN.finditer(part) for cut in range(run.start() + RUN_CHARS, run.end(), RUN_CHARS)]
        for begin, end in zip([0, *cuts], [*cuts, len(part)], strict=True):
            yield part[begin:end]


class Tokenizer:
    """Ids 0 .. ordinary_count - 1 are byte strings, the 256 behind them special. Safe for several threads."""

    special: Mapping[str, int]
    """Id by name of the special tokens."""

    def __init__(self, ranks: Mapping[bytes, int], special: Mapping[str, int]) -> None:
        import tiktoken

        self.special = dict(special)
        self.ordinary_count = len(ranks)
        self.vocab_size = len(ranks) + SPECIAL_COUNT
        self._bytes: list[bytes] = sorted(ranks, key=ranks.__getitem__)
        self._bytes += [name.encode() for name in sorted(special, key=special.__getitem__)]
        self._encoding = tiktoken.Encoding(
            "kimi", pat_str=PATTERN, mergeable_ranks=dict(ranks), special_tokens=self.special
        )

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer of the checkpoint in `folder`. Raises CheckpointError."""
        path = folder / "tiktoken.model"
        ranks = read_ranks(path)
        special = read_special(folder / "tokenizer_config.json", len(ranks))
        try:
            return cls(ranks, special)
        except ValueError as error:  # tiktoken's own checks
            raise CheckpointError(f"{path} makes no tokenizer: {str(error)[:120]}") from None

    def encode(self, text: str) -> list[int]:
        """Ordinary ids of `text`, whatever it spells; a lone surrogate counts as U+FFFD."""
        return [token for piece in pieces(text) for token in self._encoding.encode_ordinary(piece)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of whole `ids`, special ones by name; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes of one id (a special one's name). Raises IndexError beyond the vocabulary."""
        if token < 0:
            raise IndexError(token)
        return self._bytes[token]

    def marker(self, name: str) -> int:
        """The id of a special token that a chat template needs. Raises CheckpointError."""
        try:
            return self.special[name]
        except KeyError:
            raise CheckpointError(
                f"the tokenizer has no token {name}",
                "tokenizer_config.json does not belong to this chat template; choose another by name.",
            ) from None

    def is_special(self, token: int) -> bool:
        return token >= self.ordinary_count

    def all_bytes(self) -> Sequence[bytes]:
        """The bytes of every id, in order."""
        return self._bytes
