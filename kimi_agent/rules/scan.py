"""A permissive look at a command line, for rules that forbid: every command that some shell might run for it.

It need not be exact, it must not miss: what it finds too much makes a rule hold too often. Unlike the lexer it reads everything:
expansions, subshells, heredocs, comments both as comments and as commands. What only the run decides is `UNKNOWN` in a word.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache

from msgspec import Struct

from kimi_agent.rules.names import EVALUATORS, GIT_RUNS
from kimi_agent.rules.reader import UNKNOWN, Found, Reader, name_of

DEPTH = 8
"""Shells within shells that are looked into."""
PATTERNS = 64
"""Patterns of `case` that are looked behind."""

_LOOKALIKE = str.maketrans(
    "аеорсхуіѕԁɡһјԛԝмкνοραιτпг\u00a0\u2007\u202f\u3000", "aeopcxyisdghjqwmkvopaitnr    "
)  # Cyrillic, Greek and blanks that pass for Latin letters and a space


class Scan(Struct, frozen=True):
    """`words` holds every word of the line, `targets` those that output is redirected to: what may be a path."""

    commands: tuple[Found, ...]
    words: frozenset[str]
    targets: frozenset[str]


@lru_cache(maxsize=16)
def scan(line: str) -> Scan:
    """Every command that may be run for `line`."""
    scanner = _Scanner()
    scanner.look(line)
    if not line.isascii():
        shown = "".join(c for c in unicodedata.normalize("NFKC", line) if unicodedata.category(c) != "Cf")
        scanner.look(shown.translate(_LOOKALIKE))
    return Scan(tuple(scanner.found), frozenset(scanner.words), frozenset(scanner.targets))


class _Scanner:
    def __init__(self) -> None:
        self.found: dict[Found, None] = {}
        self.words: set[str] = set()
        self.targets: set[str] = set()
        self._known: set[str] = set()  # scripts that were looked at

    def look(self, text: str, depth: int = 0) -> None:
        if text in self._known:
            return
        self._known.add(text)
        if depth > DEPTH:
            self.found[Found((UNKNOWN,), loose=True)] = None
            return

        def inside(script: str) -> None:
            self.look(script, depth + 1)

        readers = [Reader(text, inside)]
        if "#" in text:
            readers.append(Reader(text, inside, comments=True))
        if "<<" in text:
            readers += [Reader(text, inside, comments=comments, heredocs=True) for comments in {False, "#" in text}]
        for reader in readers:
            reader.read()
            self.found.update(reader.found)
            self.words |= reader.words
            self.targets |= reader.targets
        evaluates = any(_evaluates(reader.words) for reader in readers)
        strings = dict.fromkeys(string for reader in readers for string in reader.strings)
        whole = all(reader.whole for reader in readers)
        if (evaluates and strings) or not whole:
            self._look_through_quotes(text)
        if "esac" in text:
            self._look_behind_patterns(text, inside)
        if "\n" in text and (not whole or "<<" in text):  # a quote in what is no command may have hidden the next line
            for line in text.split("\n"):
                inside(line)
        if evaluates:
            self._look_at_what_is_said(strings, inside)

    def _look_at_what_is_said(self, strings: Iterable[str], inside: Callable[[str], None]) -> None:
        """What is quoted, and what is printed, may be a script for a program of the line."""
        for found in [*self.found]:
            if name_of(found.words[0]) in ("echo", "printf") and len(found.words) > 1:
                self.found[Found(found.words[1:], loose=True)] = None
        for string in strings:
            inside(string.lstrip("!"))  # git runs `!command` of an alias

    def _look_behind_patterns(self, text: str, inside: Callable[[str], None]) -> None:
        """The `)` after a pattern of `case` closes no bracket: what follows each one may be where commands begin."""
        ends = [match.end() for match in itertools.islice(re.finditer(r"\)", text), PATTERNS + 1)]
        for end in ends[:PATTERNS]:
            inside(text[end:])
        if len(ends) > PATTERNS:
            self.found[Found((UNKNOWN,), loose=True)] = None

    def _look_through_quotes(self, text: str) -> None:
        """As if no quote were there: for text whose quotes do not close, and for programs in strings."""
        bare = re.sub(r"[\\'\"]", " ", text)
        parts = re.split(r"[;&|\n\r(){}`\[\]<>]", bare)
        listed = [part.replace(",", " ") for part in parts if "," in part]  # a command as a list of words
        for part in (*",".join(parts).split(","), *listed):
            if words := part.split():
                self.found[Found(tuple(words), loose=True)] = None
                self.words.update(words)


def _evaluates(words: set[str]) -> bool:
    """Whether a program among `words` may run what stands in a string."""
    names = set(map(name_of, words))
    return bool(names & EVALUATORS) or ("git" in names and bool(words & GIT_RUNS))
