"""Command lines as evidence: what they check, whether their exit code speaks for that, and whether they change files."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from msgspec import Struct
from msgspec.structs import replace

from kimi_agent.agent.check_kinds import ASSIGNMENT, kinds_of, mutates, only_asks, script_of
from kimi_agent.agent.check_names import (
    DIVERTING,
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
from kimi_agent.agent.check_output import is_heard

_SEPARATORS = frozenset({";", "&&", "||", "|", "|&", "&", "(", ")", "\n", ";;"})
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?^\s*\2\s*$", re.DOTALL | re.MULTILINE)
_WRITES = re.compile(
    r"write_(?:text|bytes)|(?<!stdout)(?<!stderr)\.write\w*\(|writeFile|appendFile|\.save\w*\(|unlink|\.rename\(|rmtree|shutil\.|"
    r"copyFile|os\.(?:remove|replace|makedirs)|mkdir|(?:to_csv|to_json|dump)\(|"
    r"open\((?:[^()]|\([^()]*\))*?['\"][rbt]*[wax+][bt+]*['\"]|^%%writefile",
    re.MULTILINE,
)
NOTEBOOK = "python: "
_EXIT = re.compile(r"exit(?: (?:[1-9]\d{0,1}|1\d\d|\$\?))?")
_NUMBERED = re.compile(r"\d+")
_IGNORES = re.compile(r"-[a-zA-Z]*i")  # of make
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_OPERATORS = "();<>|&\n"
_HIDDEN = {ord(operator): 0xE000 + ord(operator) for operator in _OPERATORS}
_SHOWN = {hidden: operator for operator, hidden in _HIDDEN.items()}


class Part(Struct, frozen=True):
    """One simple command of a line: what it checks, whether the exit code 0 of the line says that it succeeded.

    Where that does not `speak`, the output of the line does when it is `heard`: nothing else in the line prints a result.
    """

    text: str
    kinds: tuple[Kind, ...] = ()
    changes: bool = False
    speaks: bool = True
    heard: bool = False
    idle: bool = False
    program: str = ""


def parts(line: str) -> list[Part]:
    """The simple commands of a command line, in order. What cannot be read is one part that checks nothing."""
    inline_writes = bool(_WRITES.search(line.removeprefix(NOTEBOOK)))
    if line.startswith(NOTEBOOK):
        return [Part(line, ("run",), inline_writes or _shell_writes(line.removeprefix(NOTEBOOK)))]
    text = _HEREDOC.sub(r"<<\2 \3", line).replace("\\\n", " ")
    try:
        tokens = list(_tokens(text))
    except ValueError:
        return [Part(line, changes=_may_change(line))]
    commands = _split(tokens)
    options = [word for words, _ in commands if words[0] == "set" for word in words]
    strict = not any(word.startswith("+") for word in options)
    pipefail = strict and "pipefail" in options
    errexit = strict and any(re.fullmatch(r"-\w*e\w*", word) for word in options)
    grouped = any("(" in token or token in KEYWORDS for token in tokens)
    found: list[tuple[int, Part]] = []
    for position, (words, _) in enumerate(commands):
        speaks = _speaks([after for _, after in commands[position:]], pipefail, errexit, grouped)
        speaks = speaks and not _is_hidden(commands, position)
        piped = bool(position and commands[position - 1][1] in ("|", "|&") and found and found[-1][1].kinds)
        if not (piped and words[0] == "tee"):  # else: a log of the check
            found += [(position, part) for part in _read(words, speaks, inline_writes)]
    return [_with_heard(part, position, found, commands) for position, part in found]


def _is_hidden(commands: Sequence[tuple[list[str], str]], position: int) -> bool:
    """Whether what stands before a command hides its exit code or keeps it from running: `x ||`, `if`, `echo $(`, `exit 0`."""
    before = commands[:position]
    substituted = bool(before) and before[-1][0][-1] == "$" and len(before[-1][0]) > 1
    skipped = bool(before) and before[-1][1] == "||"
    diverted = any(words[0] in DIVERTING for words, _ in before)
    ends = any(
        words[0] in ("exit", "return") and words[1:] in ([], ["0"]) and (words[1:] or not n or before[n - 1][1] != "||")
        for n, (words, _) in enumerate(before)
    )
    return skipped or substituted or diverted or ends or bool(HIDING.intersection(commands[position][0][:2]))


def _with_heard(
    part: Part, position: int, found: Sequence[tuple[int, Part]], commands: Sequence[tuple[list[str], str]]
) -> Part:
    if not part.kinds:
        return part
    of_others = {kind for _, other in found if other is not part for kind in other.kinds}
    heard = part.heard and not of_others.intersection(part.kinds) and is_heard(commands, position)
    return replace(part, heard=heard)


def _shell_writes(cell: str) -> bool:
    """Whether a line of a cell that goes to the shell (`!rm a`) changes files."""
    lines = (line.strip() for line in cell.splitlines())
    return any(part.changes for line in lines if line.startswith("!") for part in parts(line[1:]))


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
        if separator == "||" and _EXIT.fullmatch(" ".join(commands[n + 1][0])):
            commands[n] = (commands[n][0], "&&")  # `check || exit 1`: the exit code 0 says that it succeeded
    return commands


def _speaks(after: Sequence[str], pipefail: bool, errexit: bool, grouped: bool) -> bool:
    """Whether the exit code 0 of the whole line says that a command succeeded, by the separators that follow it.

    A pipe behind `check && other` hides only what `other` says, unless brackets or keywords put both before it.
    """
    chained = False
    for separator in after:
        if separator in ("&&", "", ")"):
            chained = chained or separator == "&&"
            continue
        if separator in ("|", "|&") and (pipefail or (chained and not grouped)):
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
        return [Part(text, (), redirected, speaks, idle=True)]
    program = PurePath(bare[0]).name
    code = next((n for n, word in enumerate(bare[1:3], 2) if re.fullmatch(r"-[a-z]*c", word)), len(bare))
    if program in SHELLS and code < len(bare):
        inner = parts(bare[code])
        return [replace(part, changes=part.changes or redirected, speaks=part.speaks and speaks) for part in inner]
    inline = bool(PYTHON.match(program) or program in INTERPRETERS) and not script_of(bare)
    kinds = () if only_asks(program, bare[1:]) else kinds_of(program, bare)
    logged = redirected and bool(set(kinds) - {"run"})
    changes = (redirected and not logged) or mutates(program, bare) or (inline and inline_writes)
    speaks = (
        speaks
        and not IGNORING.intersection(bare)
        and not (program == "make" and any(_IGNORES.match(word) for word in bare))
    )
    checker = PurePath(script_of(bare)).name if PYTHON.match(program) else program
    return [Part(text, kinds, changes, speaks, bool(kinds), program in SHOWS_NOTHING, checker)]


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
