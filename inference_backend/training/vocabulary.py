"""Training of a small tokenizer in K2's form: byte-level BPE by tiktoken's rules, and K2's special tokens behind it.

Three rules make what it learns easy to copy, which is most of what a small model does with names. Digits stay single. A word
joins no sign before it but a dot, and that only as a whole (a token `'s` would begin `'schema'`, too), so that `notes` is the
same tokens behind a blank, a quote or a slash. And the two characters that JSON writes for the end of a line join before all
others: `\\ndata` would else be `\\`, `nd`, `ata`. K2's pattern, which cuts texts into words first, leaves exceptions: it cuts
between `\\` and `n` behind another sign (`.\\ndata`), and behind `'s` after a letter (`f'schema'`). Paths like `dir\\notes` pay.
"""

import base64
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from inference_backend.chat.tokenizer import PATTERN, pieces
from inference_backend.chat.tokenizer_files import SPECIAL_COUNT
from inference_backend.checkpoint.writer import write_text

NAMED = {
    0: "[BOS]", 1: "[EOS]", 2: "<|im_end|>", 3: "<|im_user|>", 4: "<|im_assistant|>", 6: "<|start_header_id|>",
    7: "<|end_header_id|>", 9: "[EOT]", 10: "<|im_system|>", 11: "<|tool_calls_section_begin|>",
    12: "<|tool_calls_section_end|>", 13: "<|tool_call_begin|>", 14: "<|tool_call_argument_begin|>",
    15: "<|tool_call_end|>", 17: "<|im_middle|>", 254: "[UNK]", 255: "[PAD]",
}  # fmt: skip
"""Special tokens by their offset from the first, as K2-Instruct has them."""
DIGITS = frozenset(b"0123456789")
LINE_END = b"\\n"
"""As JSON writes it: two characters, the second a letter."""
WHOLE = 50
"""How often a character of several bytes must stand in the data to be a token; a rarer one is bytes, as unknown ones are."""


def words_of(texts: Iterable[tuple[str, int]]) -> Counter[bytes]:
    """How often each word, as the tokenizer cuts them, stands in `texts`, each with a number of times that it counts."""
    import regex

    cut = regex.compile(PATTERN, regex.VERSION1)
    words: Counter[bytes] = Counter()
    for text, times in texts:
        for piece in pieces(text):
            for match in cut.finditer(piece):
                words[match.group().encode("utf-8", "replace")] += times
    return words


def train_ranks(words: Counter[bytes], size: int, *, least: int = 2) -> dict[bytes, int]:
    """Rank by bytes of at most `size` ordinary tokens: the 256 bytes, then what joins the most frequent pairs.

    The end of a line comes first, however rare. Then characters are made whole, so far as they stand `WHOLE` times, then whole
    characters are joined. Ties go to the pair that is less; pairs that stand fewer than `least` times are not joined. Same
    words, same tokens.
    """
    ranks = {bytes([byte]): byte for byte in range(256)}
    parts = [[bytes([byte]) for byte in word] for word in words]
    counts = list(words.values())
    if size > len(ranks) and any(LINE_END in word for word in words):
        ranks[LINE_END] = len(ranks)
        parts = [_merged(each, (LINE_END[:1], LINE_END[1:])) for each in parts]
    _join(ranks, parts, counts, size, max(least, WHOLE), _in_one_character)
    _join(ranks, parts, counts, size, least, _joinable)
    return ranks


def _join(
    ranks: dict[bytes, int],
    parts: list[list[bytes]],
    counts: Sequence[int],
    size: int,
    least: int,
    joinable: Callable[[list[bytes]], Iterable[tuple[bytes, bytes]]],
) -> None:
    """Joins the most frequent pair that may be joined, again and again."""
    pairs: Counter[tuple[bytes, bytes]] = Counter()
    where: defaultdict[tuple[bytes, bytes], set[int]] = defaultdict(set)

    def count(index: int, sign: int) -> None:
        for pair in joinable(parts[index]):
            pairs[pair] += sign * counts[index]
            where[pair].add(index)

    for index in range(len(parts)):
        count(index, 1)
    while len(ranks) < size and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < least:
            break
        joined = best[0] + best[1]
        ranks.setdefault(joined, len(ranks))
        for index in sorted(where.pop(best)):
            count(index, -1)
            parts[index] = _merged(parts[index], best)
            count(index, 1)
        del pairs[best]
        if len(pairs) > 4 * len(parts):
            pairs = +pairs


def _in_one_character(parts: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """The pairs that are bytes of one character, from its first on (RFC 3629: only the first is 0xC0 or more)."""
    return ((left, right) for left, right in pairwise(parts) if left[0] >= 0xC0 and 0x80 <= right[0] < 0xC0)


def _joinable(parts: list[bytes]) -> Iterable[tuple[bytes, bytes]]:
    """The pairs of a word that may be joined, see above: never digits, parts of characters, the end of a line."""
    for index, (left, right) in enumerate(pairwise(parts)):
        if (
            left[-1] in DIGITS
            or right[0] in DIGITS
            or LINE_END in (left, right)
            or not (_is_whole(left) and _is_whole(right))
        ):
            continue
        if _is_sign(left) != _is_sign(right) and (index > 0 or len(parts) > 2 or left != b"."):
            continue
        yield left, right


def _is_whole(part: bytes) -> bool:
    try:
        return bool(part.decode())
    except UnicodeDecodeError:
        return False


def is_made(token: bytes) -> bool:
    """Whether the rules above make a token like this: a byte, a part of a character, the end of a line, letters, or signs."""
    if len(token) == 1 or token == LINE_END or not _is_whole(token):
        return True
    text = token.decode()
    letters = text[1:] if text[0] == "." and len(text) > 1 and text[1].isalpha() else text
    return LINE_END not in token and not DIGITS & set(token) and len({letter.isalpha() for letter in letters}) == 1


def _is_sign(part: bytes) -> bool:
    return not part.decode()[0].isalpha()


def _merged(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    out: list[bytes] = []
    index = 0
    while index < len(parts):
        if index + 1 < len(parts) and (parts[index], parts[index + 1]) == pair:
            out.append(pair[0] + pair[1])
            index += 2
        else:
            out.append(parts[index])
            index += 1
    return out


def special_names(first: int) -> dict[int, str]:
    """The names of all 256 special ids from `first` on."""
    return {first + i: NAMED.get(i, f"<|reserved_token_{first + i}|>") for i in range(SPECIAL_COUNT)}


def write_tokenizer(folder: Path, ranks: dict[bytes, int]) -> None:
    """`tiktoken.model` and `tokenizer_config.json`, as chat/tokenizer_files.py reads them."""
    order = sorted(ranks, key=ranks.__getitem__)
    lines = (f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(order))
    write_text(folder / "tiktoken.model", "".join(lines))
    names = special_names(len(ranks))
    config = {
        "added_tokens_decoder": {
            str(number): {"content": name, "special": True}
            for number, name in names.items()
            if number - len(ranks) in NAMED
        },
        "bos_token": "[BOS]",
        "eos_token": "<|im_end|>",
        "pad_token": "[PAD]",
        "tokenizer_class": "TikTokenTokenizer",
    }
    write_text(folder / "tokenizer_config.json", json.dumps(config, indent=1) + "\n")
