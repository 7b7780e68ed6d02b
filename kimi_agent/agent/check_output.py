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
        read = _files_read(later)
        reads_it = _filters(later) and read <= files and bool(piped or read)
        if not reads_it and (piped or _name(later) not in MUTE):
            return False
        if piped:
            files |= _written(later)
        piped = reads_it and separator in _PIPES
    return True


def _name(words: Sequence[str]) -> str:
    return PurePath(words[0]).name


def _prints(words: Sequence[str], after: str) -> bool:
    return after not in _PIPES and not any(">" in word and _is_sign(word) for word in words)


def _filters(words: Sequence[str]) -> bool:
    """Whether it prints nothing but lines of what it reads, among them the failures."""
    name = _name(words)
    if name in ("tail", "cat", "tee"):
        return True
    options = "".join(word for word in words[1:] if word.startswith("-"))
    pattern = (_operands(words) or [""])[0]
    if name in GREPS:
        inverted = "v" in re.sub(r"--[\w-]+", "", options) or "--invert-match" in options
        return not _RESULT_WORD.search(pattern) if inverted else "fail" in pattern.lower()
    return name == "sed" and "n" not in options and not _RESULT_WORD.search(pattern)


def _operands(words: Sequence[str]) -> list[str]:
    """Its words that are no options, their numbers, or signs and targets of what it writes; what `<` reads is one."""
    pairs = pairwise(words)
    return [
        word
        for before, word in pairs
        if not (word.startswith("-") or word.isdigit() or _is_sign(word) or (_is_sign(before) and ">" in before))
    ]


def _is_sign(word: str) -> bool:
    return set(word) <= set("<>&|")


def _files_read(words: Sequence[str]) -> set[str]:
    name = _name(words)
    if name == "tee":
        return set()
    return set(_operands(words)[1 if name in GREPS or name == "sed" else 0 :])


def _written(words: Sequence[str]) -> set[str]:
    """The files that it writes from their beginning."""
    if _name(words) == "tee":
        return set(_operands(words)) if "-a" not in words else set()
    return {
        file for sign, file in pairwise(words) if sign in (">", "&>", ">&", ">|") and not re.match(r"/dev/|\d|-", file)
    }
