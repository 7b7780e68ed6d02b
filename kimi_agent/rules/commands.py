"""Patterns of commands, word by word: narrowly for rules that allow, widely for those that forbid or ask."""

import fnmatch
import functools
import re
from collections.abc import Sequence

from kimi_agent.rules.reader import UNKNOWN, Found, name_of
from kimi_agent.rules.rule import word_regex, words_of

MAYBE = None
"""Only the run can tell."""
STARTS = 16
"""Places in one command where a program may be named that are looked at."""


@functools.lru_cache(maxsize=1024)
def _compiled(argument: str) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((word, word_regex(word)) for word in words_of(argument))


def allows(argument: str, words: Sequence[str]) -> bool:
    """Whether the pattern covers the whole command: word for word, `*` alone stands for any number of words."""
    pattern = _compiled(argument)
    parts = _split_at_stars(pattern)
    if len(parts) == 1:
        return len(words) == len(parts[0]) and _fits(parts[0], words, 0)
    first, *middle, last = parts
    if not _fits(first, words, 0):
        return False
    at, end = len(first), len(words) - len(last)
    for part in middle:
        found = next((i for i in range(at, end - len(part) + 1) if _fits(part, words, i)), -1)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end and _fits(last, words, end)


def _split_at_stars(pattern: Sequence[tuple[str, re.Pattern[str]]]) -> list[list[re.Pattern[str]]]:
    parts: list[list[re.Pattern[str]]] = [[]]
    for word, regex in pattern:
        if word == "*":
            parts.append([])
        else:
            parts[-1].append(regex)
    return parts


def _fits(part: Sequence[re.Pattern[str]], words: Sequence[str], at: int) -> bool:
    return at + len(part) <= len(words) and all(regex.fullmatch(words[at + n]) for n, regex in enumerate(part))


def forbids(argument: str, found: Found) -> bool | None:
    """Whether the pattern is about a command that may be run: True, False, or MAYBE.

    The program counts by its name, wherever it lies. More words may follow those of the pattern, its flags may stand anywhere,
    together or apart, and others between them.
    """
    pattern = _compiled(argument)
    if not pattern:
        return True
    others = [word for word, _ in pattern[1:] if word != "*"]
    maybe = False
    looked_at = 0
    for start in range(len(found.words) if found.loose else 1):
        named = _names(pattern[0], found.words[start])
        if named is False:
            continue
        looked_at += 1
        if looked_at > STARTS:
            return MAYBE
        rest = _follows(others, found.words, start + 1)
        if named and rest:
            return True
        maybe = maybe or rest is not False
        if named and all(word.startswith("-") for word in others):
            break  # what follows a later one follows this one too
    return MAYBE if maybe else False


def _names(pattern: tuple[str, re.Pattern[str]], word: str) -> bool | None:
    """Whether a word names the program of a pattern."""
    text, regex = pattern
    text, name, whole = text.casefold(), name_of(word), word.casefold()
    if UNKNOWN in word:
        if text in (name.replace(UNKNOWN, ""), whole.replace(UNKNOWN, "")):
            return True
        literal = re.escape(name).replace(re.escape(UNKNOWN), ".*")
        return MAYBE if UNKNOWN in name and ("*" in text or re.fullmatch(literal, name_of(text), re.DOTALL)) else False
    if "/" in text:
        return bool(regex.fullmatch(word)) or whole == text or name == name_of(text)
    if regex.fullmatch(name) or regex.fullmatch(whole) or name == text:
        return True
    return any(char in name for char in "*?[") and fnmatch.fnmatchcase(text, name)


def _follows(pattern: Sequence[str], words: Sequence[str], start: int) -> bool | None:
    """Whether the words of a pattern are found from `start` on: its flags anywhere, the others in this order."""
    flags = [word for word in pattern if len(word) > 1 and word.startswith("-")]
    plain = [word for word in pattern if word not in flags]
    given: set[str] = set()
    after_flag = maybe = False
    for word in words[start:]:
        if UNKNOWN in word or (any(char in word for char in "*?[") and not plain):
            maybe = maybe or UNKNOWN in word or word.startswith("-")
            continue
        if len(word) > 1 and word.startswith("-"):
            given.add(word)
            after_flag = True
            continue
        if plain and _same(plain[0], word):
            plain = plain[1:]
        elif plain and not after_flag:
            return MAYBE if maybe else False
        after_flag = False
        if not plain and not flags:
            return True
    if not plain and all(any(_covers(flag, other) for other in given) or _lettered(flag, given) for flag in flags):
        return True
    return MAYBE if maybe else False


def _same(pattern: str, word: str) -> bool:
    return pattern == word or bool(word_regex(pattern).fullmatch(word))


def _covers(flag: str, other: str) -> bool:
    """Whether a flag of a command is that of a pattern, also shortened or with a value."""
    if _same(flag, other):
        return True
    name = other.partition("=")[0]
    return flag.startswith("--") and len(name) > 3 and flag.partition("=")[0].startswith(name)


def _lettered(flag: str, given: set[str]) -> bool:
    """`-rf` as `-r -f`, `-fr`, `-vrf`, or as the long flags that begin with these letters, and the other way round."""
    letters = {letter for word in given if not word.startswith("--") for letter in word[1:]}
    letters |= {"r"} if "R" in letters else set()  # to rm, cp and grep they are one
    initials = {word[2] for word in given if word.startswith("--") and len(word) > 2}
    if flag.startswith("--"):
        return flag[2:3] in letters
    return all(
        letter in letters | initials or letter.casefold() in initials for letter in flag[1:] if letter not in "*?"
    )
