"""Which paths a query means, best first.

Ways to match, each better than all that come after it: the name begins with the query; words of the name do, letter by letter
or more; the name holds it in one piece; the path does; words of the path; its letters are in the path in their order. Among
equals what is not hidden comes first, then fewer folders, then what was used last, then the shorter.
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from heapq import nsmallest
from typing import TypeAlias

from kimi_agent.frontends.common.file_listing import Batch, lowered

SHOWN = 50
CHECKED = 4 * SHOWN
"""Of the best matches so many are looked up on the disk: what is gone is left out, what changed lately goes first."""
PATIENCE_S = 0.025
"""After this time what is found is shown, though something better may come."""
_BETWEEN = r"\n/_\-. "
"""What stands before a word."""

Used: TypeAlias = Callable[[str], float | None]
"""When a path was used last, in seconds of the epoch: 0 for long ago, None when it is gone."""
_Rank: TypeAlias = tuple[int, bool, int, int, str]
"""How it matches, whether it is hidden, the folders that it lies in, its length, itself: lower is better."""


def search(batches: Sequence[Batch], query: str, used: Used, limit: int = SHOWN) -> Iterator[list[str] | None]:
    """Better and better answers, the last one is the answer. None in between: a good moment to look whether it is wanted."""
    hidden = query.startswith(".") or "/." in query
    show_at = time.monotonic() + PATIENCE_S
    best: list[_Rank] = []
    known = {query} if query.endswith("/") else set()
    query = lowered(query)
    for ways in (_beginning, _containing):
        for batch in batches:
            ranked = (
                (way, not hidden and _is_hidden(path), path.count("/", 0, -1), len(path), path)
                for way, path in ways(batch, query)
                if path not in known
            )
            best = nsmallest(CHECKED, {*ranked, *best})
            if best and time.monotonic() > show_at:
                show_at += 10 * PATIENCE_S
                yield _on_disk(best, used)[:limit]
            else:
                yield None
        if len(best) >= limit or not query:
            break
        known.update(path for *_, path in best)
    yield _on_disk(best, used)[:limit]


def _is_hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


def _on_disk(best: list[_Rank], used: Used) -> list[str]:
    found = []
    for way, hidden, parts, length, path in best:
        if (last := used(path)) is not None:
            found.append((way, hidden, parts, -last, length, path))
    return [path for *_, path in sorted(found)]


# --- ways to match ----------------------------------------------------------------------------------------------------


def _beginning(batch: Batch, query: str) -> Iterator[tuple[int, str]]:
    """Paths whose last part begins with the query, or whose last parts do where it has several."""
    if not query:
        return ((0, path) for path in _lines(batch.text, re.finditer(r"\n[^/\n]+/?(?=\n)", batch.text)))
    if "/" in query:
        return ((0, path) for path in _lines(batch.text, _last_parts(query).finditer(batch.lowered)))
    return ((0, path) for path in _with_names(batch, f"\n{query}"))


def _with_names(batch: Batch, begun: str) -> Iterator[str]:
    if begun not in batch.names:
        return
    paths, number, position = batch.text.split("\n"), 0, 0
    while (start := batch.names.find(begun, position)) >= 0:
        number += batch.names.count("\n", position, start + 1)
        position = start + 1
        yield paths[number]


def _containing(batch: Batch, query: str) -> Iterator[tuple[int, str]]:
    """Paths that hold its letters in their order, however."""
    words = _words(query)
    for path in _lines(batch.text, _letters(query).finditer(batch.lowered)):
        line, small = f"/{path}", f"/{lowered(path)}"
        name = line.rfind("/", 0, -1)
        if words.search(line, name):
            yield 1, path
        elif query in small:
            yield (2 if small.find(query, name) >= 0 else 3), path
        else:
            yield (4 if words.search(line) else 5), path


def _lines(text: str, matches: Iterator[re.Match[str]]) -> list[str]:
    """The lines that the matches lie in, each once. A match that begins with a newline lies in the line after it."""
    lines, end = [], -1
    for match in matches:
        inside = match.start() + match[0].startswith("\n")
        if inside > end:
            end = text.find("\n", max(match.end(), inside))
            lines.append(text[text.rfind("\n", 0, inside) + 1 : end])
    return lines


@lru_cache(8)
def _last_parts(query: str) -> re.Pattern[str]:
    return re.compile(rf"[/\n]{re.escape(query)}[^/\n]*/?(?=\n)")


@lru_cache(8)
def _letters(query: str) -> re.Pattern[str]:
    """The first place of each letter is as good as any later one: nothing is tried twice."""
    return re.compile(r"\n" + "".join(rf"[^\n{re.escape(char)}]*+{re.escape(char)}" for char in query))


@lru_cache(8)
def _words(query: str) -> re.Pattern[str]:
    """Each letter begins a word, or follows the one before it: `fcf` and `frocof` are `frontends/common/files.py`.

    What is tried first, the next letter or the next word, is the same for all letters: no search without an end.
    """
    first, others = query[0], query[1:]
    near = "".join(f"(?>{_either(char)}|[^\\n]*?{_begins(char)})" for char in others)
    far = "".join(f"(?>[^\\n]*?{_begins(char)}|{_either(char)})" for char in others)
    return re.compile(f"{_begins(first)}(?:{near}|{far})")


def _begins(char: str) -> str:
    """A letter where a word begins: behind what stands between words, or a capital behind a small one."""
    either, upper = _either(char), char.upper()
    hump = f"|[a-z0-9]{re.escape(upper)}" if len(upper) == 1 and upper != char else ""
    return f"{either}(?<=[{_BETWEEN}]{either}{hump})"


def _either(char: str) -> str:
    upper = char.upper()
    return f"[{re.escape(char)}{re.escape(upper)}]" if len(upper) == 1 and upper != char else re.escape(char)
