"""Whether what a command line prints can only come from one check in it: that decides where its exit code is hidden."""

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePath

from kimi_agent.agent.check_names import GREPS, MUTE, PRINTING

Command = tuple[Sequence[str], str]
"""The words of a simple command, and the separator behind it."""

_RESULT_WORD = re.compile(r"pass|fail|err|ok|clean|success", re.IGNORECASE)
_PIPES = ("|", "|&")


def is_heard(commands: Sequence[Command], position: int) -> bool:
    """Whether only the check at a position can print a result: before it nothing that only prints, behind it only filters.

    A filter behind a pipe must let failures through; a reader elsewhere must read the file that the check writes.
    """
    if any(_name(words) in PRINTING and _prints(words, after) for words, after in commands[:position]):
        return False
    if position and commands[position - 1][1] == "||":
        return False
    words, after = commands[position]
    files, piped = _written(words), after in _PIPES
    for later, separator in commands[position + 1 :]:
        named = bool(files.intersection(later))
        if piped:
            if not _filters(later):
                return False
            files |= _written(later)
        elif _name(later) not in MUTE and not (named and _filters(later)):
            return False
        piped = (piped or named) and separator in _PIPES
    return True


def _name(words: Sequence[str]) -> str:
    return PurePath(words[0]).name


def _prints(words: Sequence[str], after: str) -> bool:
    return after not in _PIPES and not any(">" in word and set(word) <= set("<>&") for word in words)


def _filters(words: Sequence[str]) -> bool:
    """Whether it prints nothing but lines of what it reads, among them the failures."""
    name = _name(words)
    if name in ("tail", "cat", "tee"):
        return True
    options = "".join(word for word in words[1:] if word.startswith("-"))
    pattern = " ".join(word for word in words[1:] if not word.startswith("-"))
    if name in GREPS:
        inverted = "v" in re.sub(r"--[\w-]+", "", options) or "--invert-match" in options
        return not _RESULT_WORD.search(pattern) if inverted else "fail" in pattern.lower()
    return name == "sed" and "n" not in options and not _RESULT_WORD.search(pattern)


def _written(words: Sequence[str]) -> set[str]:
    """The files that it writes from their beginning."""
    if _name(words) == "tee":
        return {word for word in words[1:] if not word.startswith("-")} if "-a" not in words else set()
    pairs = pairwise(words)
    return {file for sign, file in pairs if sign in (">", "&>", ">&", ">|") and not re.match(r"/dev/|\d|-", file)}
