"""What Typer cannot say: options whose value may be left out, and a prompt in the place of a subcommand."""

import difflib
from collections.abc import Callable, Mapping, Sequence

from kimi_agent.core.errors import ConfigError

OPTIONAL = {"-r": "", "-S": "", "--session": "", "--resume": "", "-p": "", "--prompt": ""}
"""Options whose value may be missing, and the value that then stands for that."""

FOREIGN = frozenset(
    ["provider", "server", "term", "update", "upgrade", "vis"],
)
"""Subcommands of other versions of kimi: a script that calls one must not pay for a prompt of that word."""


def normalise(
    arguments: Sequence[str],
    takes_value: Mapping[str, bool],
    commands: Sequence[str],
    of_plugin: Callable[[str], bool] = lambda word: False,
) -> list[str]:
    """The arguments as Typer can parse them.

    `takes_value` tells for each option of the program whether a value follows it. The first word that belongs to no option
    is a subcommand (of ours, or of a plugin), or else the prompt of an interactive session, which becomes `--start TEXT`.
    Raises ConfigError for a second word, and for one that is nearly a subcommand, or one of another version.
    """
    given, result = list(arguments), list[str]()
    while given:
        word = given.pop(0)
        if word == "--":
            return [*result, *(["--start", " ".join(given)] if given else [])]
        if not word.startswith("-") or word == "-":
            if word in commands or of_plugin(word):
                return [*result, word, *given]
            _check_prompt(word, result, given, commands)
            result += ["--start", word]
        elif word == "-c" and _ends(given):
            result.append("--continue")
        elif word in OPTIONAL and _ends(given):
            result += [word, OPTIONAL[word]]
        else:
            result.append(word)
            if _wants_value(word, takes_value) and given:
                result.append(given.pop(0))
    return result


def _check_prompt(word: str, before: Sequence[str], after: Sequence[str], commands: Sequence[str]) -> None:
    if "--start" in before:
        raise ConfigError(
            f'unexpected argument "{word}"', 'Put the whole prompt in quotes: kimi "fix the failing test".'
        )
    if word in FOREIGN and (len(after) < 3 or after[0].startswith("-")):  # else: a prompt without its quotes
        raise ConfigError(
            f"kimi {word} is not in this version", f'A prompt of one word goes after "--": kimi -- {word}'
        )
    near = difflib.get_close_matches(word, commands, n=1, cutoff=0.75) if " " not in word else []
    if near:
        hint = f'Did you mean "kimi {near[0]}"? A prompt of one word goes after "--": kimi -- {word}'
        raise ConfigError(f'there is no command "{word}"', hint)


def _ends(rest: Sequence[str]) -> bool:
    """Whether no value follows: the end, or another option."""
    return not rest or (rest[0].startswith("-") and len(rest[0]) > 1 and " " not in rest[0])


def _wants_value(word: str, takes_value: Mapping[str, bool]) -> bool:
    if word.startswith("--"):
        return "=" not in word and takes_value.get(word, False)
    for index, letter in enumerate(word[1:], start=1):
        if takes_value.get(f"-{letter}", False):
            return index == len(word) - 1
    return False
