"""Command lines as evidence: what they check, whether their exit code speaks for that, and whether they change files."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from kimi_agent.agent.check_kinds import ASSIGNMENT, kinds_of, mutates, only_asks, script_of
from kimi_agent.agent.check_names import (
    ELSEWHERE,
    HIDING,
    IGNORING,
    INTERPRETERS,
    KEYWORDS,
    MUTATING,
    PYTHON,
    RUNNERS,
    SHELLS,
    SHOWS_NOTHING,
    WITH_VALUE,
    WRAPPER_VALUES,
    WRAPPERS,
    Kind,
)

_SEPARATORS = frozenset({";", "&&", "||", "|", "|&", "&", "(", ")", "\n", ";;"})
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?^\s*\2\s*$", re.DOTALL | re.MULTILINE)
_WRITES = re.compile(
    r"write_(?:text|bytes)|(?<!stdout)(?<!stderr)\.write\w*\(|writeFile|appendFile|\.save\w*\(|unlink|\.rename\(|rmtree|shutil\.|"
    r"copyFile|os\.(?:remove|replace|makedirs)|mkdir|(?:to_csv|to_json|dump)\(|open\([^)]*['\"][rb]?[wax+]"
)
NOTEBOOK = "python: "
_NUMBERED = re.compile(r"\d+")
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_OPERATORS = "();<>|&\n"
_HIDDEN = {ord(operator): 0xE000 + ord(operator) for operator in _OPERATORS}
_SHOWN = {hidden: operator for operator, hidden in _HIDDEN.items()}


@dataclass(frozen=True, slots=True)
class Part:
    """One simple command of a line: what it checks, and whether the exit code 0 of the line says that it succeeded."""

    text: str
    kinds: tuple[Kind, ...] = ()
    changes: bool = False
    speaks: bool = True
    idle: bool = False
    program: str = ""


def parts(line: str) -> list[Part]:
    """The simple commands of a command line, in order. What cannot be read is one part that checks nothing."""
    inline_writes = bool(_WRITES.search(line))
    if line.startswith(NOTEBOOK):
        return [Part(line, ("run",), inline_writes)]
    text = _HEREDOC.sub(r"<<\2 \3", line).replace("\\\n", " ")
    try:
        tokens = list(_tokens(text))
    except ValueError:
        return [Part(line, changes=_may_change(line))]
    commands = _split(tokens)
    options = [word for words, _ in commands if words[0] == "set" for word in words]
    pipefail, errexit = "pipefail" in options, any(re.fullmatch(r"-\w*e\w*", word) for word in options)
    found: list[Part] = []
    for position, (words, _) in enumerate(commands):
        speaks = _speaks([after for _, after in commands[position:]], pipefail, errexit)
        maybe_skipped = bool(position and commands[position - 1][1] == "||")
        speaks = speaks and not maybe_skipped and not HIDING.intersection(words[:2])
        piped = bool(position and commands[position - 1][1] in ("|", "|&") and found and found[-1].kinds)
        if not (piped and words[0] == "tee"):  # else: a log of the check
            found += _read(words, speaks, inline_writes)
    return found


def _tokens(text: str) -> Iterator[str]:
    """Words and operators; what stands in quotes is no operator (see `_HIDDEN`)."""
    quoted = _QUOTED.sub(lambda found: found[0].translate(_HIDDEN), text)
    lexer = shlex.shlex(quoted, posix=True, punctuation_chars=_OPERATORS)
    lexer.whitespace, lexer.whitespace_split = " \t\r", True
    yield from lexer


def _split(tokens: Sequence[str]) -> list[tuple[list[str], str]]:
    """Simple commands, each with the separator behind it (the strongest one when several stand there)."""
    commands: list[tuple[list[str], str]] = []
    words: list[str] = []
    for token in tokens:
        bare = token.replace("\n", "") or "\n"
        if token in _SEPARATORS or bare in _SEPARATORS or set(token) <= set("();|&\n"):
            if words:
                commands.append((words, bare.strip("()") or ")"))
            elif commands and commands[-1][1] in (")", "\n"):
                commands[-1] = (commands[-1][0], bare.strip("()") or ")")
            words = []
        else:
            words.append(token)
    commands += [(words, "")] if words else []
    for n, (_, separator) in enumerate(commands[:-1]):
        if separator == "||" and commands[n + 1][0][0] == "exit" and commands[n + 1][0][1:2] != ["0"]:
            commands[n] = (commands[n][0], "&&")  # `check || exit 1`: the exit code 0 says that it succeeded
    return commands


def _speaks(after: Sequence[str], pipefail: bool, errexit: bool) -> bool:
    """Whether the exit code 0 of the whole line says that a command succeeded, by the separators that follow it."""
    for separator in after:
        if separator in ("&&", "", ")"):
            continue
        if separator == "|" and pipefail:
            continue
        if separator in (";", "\n") and errexit:
            continue
        if separator in (";", "\n") and len(after) == 1:
            continue
        return False
    return True


def _read(words: Sequence[str], speaks: bool, inline_writes: bool) -> list[Part]:
    redirected = _redirects(words)
    words = [word.translate(_SHOWN) for word in words]
    text, bare = shlex.join(words), _bare(words)
    if not bare:
        return [Part(text, (), redirected, speaks, True)]
    program = PurePath(bare[0]).name
    code = next((n for n, word in enumerate(bare[1:3], 2) if re.fullmatch(r"-[a-z]*c", word)), len(bare))
    if program in SHELLS and code < len(bare):
        inner = parts(bare[code])
        return [replace(part, changes=part.changes or redirected, speaks=part.speaks and speaks) for part in inner]
    inline = bool(PYTHON.match(program) or program in INTERPRETERS) and not script_of(bare)
    kinds = () if only_asks(program, bare[1:]) else kinds_of(program, bare)
    logged = redirected and bool(set(kinds) - {"run"})
    changes = (redirected and not logged) or mutates(program, bare) or (inline and inline_writes)
    speaks = speaks and not IGNORING.intersection(bare) and not (program == "make" and "-i" in bare)
    checker = PurePath(script_of(bare)).name if PYTHON.match(program) else program
    return [Part(text, kinds, changes, speaks, program in SHOWS_NOTHING, checker)]


def _bare(words: Sequence[str]) -> list[str]:
    """The words without keywords, assignments, wrappers and redirections."""
    rest = [word for word in words if word not in KEYWORDS]
    while rest:
        name = PurePath(rest[0]).name
        if ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        elif name in WRAPPERS:
            if name == "command" and rest[1:2] in (["-v"], ["-V"]):
                break
            rest = rest[1:]
            while rest and (rest[0].startswith("-") or _NUMBERED.match(rest[0]) or ASSIGNMENT.match(rest[0])):
                rest = rest[2:] if rest[0] in WRAPPER_VALUES and name != "time" else rest[1:]
        elif PYTHON.match(name) and rest[1:4] == ["-m", "coverage", "run"]:
            rest = rest[2:]
        elif " ".join([name, *rest[1:2]]) in RUNNERS:
            rest = rest[2:]
            while rest and rest[0].startswith("-"):
                rest = rest[2:] if rest[0] in WITH_VALUE else rest[1:]
        else:
            break
    return rest


def _redirects(words: Sequence[str]) -> bool:
    """Whether output goes into a file, other than /dev/null and the like."""
    for word, target in zip(words, [*words[1:], ""], strict=True):
        if set(word) <= set("<>&") and ">" in word:
            file = target.lstrip("&")
            if not (file.isdigit() or file == "-" or file.startswith(ELSEWHERE)):
                return True
    return False


def _may_change(line: str) -> bool:
    return ">" in line or bool(MUTATING.intersection(re.findall(r"[\w-]+", line)))
