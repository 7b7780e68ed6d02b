"""Command lines as evidence: what they check, whether their exit code speaks for that, and whether they change files."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from kimi_agent.agent.check_names import (
    ASKING,
    ASKING_OF,
    BY_WORD,
    CACHES,
    CHANGING,
    CHECKING,
    CONTAINERS,
    ELSEWHERE,
    FIXING,
    GIT_CHANGES,
    HIDING,
    IGNORING,
    INTERPRETERS,
    KEYWORDS,
    LINT_MODES,
    MUTATING,
    NO_BUILD,
    OF_SCRIPT,
    PACKAGERS,
    PROGRAMS,
    PYTHON,
    RUNNERS,
    SCRIPT,
    SHELLS,
    SHOWS_NOTHING,
    WITH_VALUE,
    WORDS,
    WRAPPER_VALUES,
    WRAPPERS,
    Kind,
)

_SEPARATORS = frozenset({";", "&&", "||", "|", "|&", "&", "(", ")", "\n", ";;"})
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?^\s*\2\s*$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+\+?=")
_WRITES = re.compile(
    r"write_(?:text|bytes)|(?<!stdout)(?<!stderr)\.write\w*\(|writeFile|appendFile|\.save\w*\(|unlink|\.rename\(|rmtree|shutil\.|"
    r"copyFile|os\.(?:remove|replace|makedirs)|mkdir|(?:to_csv|to_json|dump)\(|open\([^)]*['\"][rb]?[wax+]"
)
_NO_TARGETS = re.compile(r"-[BeikrRsSw]*[nqt]")  # of make: `-n` and the like only show
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
    inline = bool(PYTHON.match(program) or program in INTERPRETERS) and not _script_of(bare)
    kinds = () if _only_asks(program, bare[1:]) else _kinds(program, bare)
    logged = redirected and bool(set(kinds) - {"run"})
    changes = (redirected and not logged) or _mutates(program, bare) or (inline and inline_writes)
    speaks = speaks and not IGNORING.intersection(bare) and not (program == "make" and "-i" in bare)
    checker = PurePath(_script_of(bare)).name if PYTHON.match(program) else program
    return [Part(text, kinds, changes, speaks, program in SHOWS_NOTHING, checker)]


def _only_asks(program: str, rest: Sequence[str]) -> bool:
    """Whether its options make it show something instead of doing it."""
    if ASKING.intersection(rest) or ASKING_OF.get(program, frozenset()).intersection(rest):
        return True
    return program in ("make", "gmake") and any(_NO_TARGETS.match(word) for word in rest)


def _bare(words: Sequence[str]) -> list[str]:
    """The words without keywords, assignments, wrappers and redirections."""
    rest = [word for word in words if word not in KEYWORDS]
    while rest:
        name = PurePath(rest[0]).name
        if _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        elif name in WRAPPERS:
            if name == "command" and rest[1:2] in (["-v"], ["-V"]):
                break
            rest = rest[1:]
            while rest and (rest[0].startswith("-") or _NUMBERED.match(rest[0]) or _ASSIGNMENT.match(rest[0])):
                rest = rest[2:] if rest[0] in WRAPPER_VALUES else rest[1:]
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


def _mutates(program: str, words: Sequence[str]) -> bool:
    rest = words[1:]
    if program == "git":
        rest = rest[2:] if rest[:1] in (["-C"], ["-c"]) else rest
        command = next((word for word in rest if not word.startswith("-")), "")
        return command in GIT_CHANGES and not (command == "stash" and "list" in rest)
    if program in ("sed", "perl", "gsed"):
        return any(re.match(r"-[a-z]*i|--in-place", word) for word in rest)
    if program in ("black", "isort", "prettier", "rustfmt", "ruff") and (program != "ruff" or "format" in rest):
        return not CHECKING.intersection(rest)
    if program in BY_WORD or program in ("jest", "vitest"):
        return not CHECKING.intersection(rest) and _changes_by_word(program, rest)
    if program in ("gofmt", "goimports", "clang-format", "shfmt"):
        return bool({"-w", "-i"}.intersection(rest))
    if program == "find":
        return bool({"-delete", *MUTATING}.intersection(rest)) or "-i" in rest
    if program in ("curl", "wget"):
        return program == "wget" or bool({"-o", "-O", "--output"}.intersection(rest))
    if program == "tar":
        return bool(rest) and ("x" in rest[0].split("=")[0] or "--extract" in rest)
    if program in MUTATING:
        targets = [word for word in rest if not word.startswith("-")][-1 if program == "cp" else 0 :]
        return not (targets and all(map(_is_elsewhere, targets)))
    if PYTHON.match(program) and PurePath(_script_of(words)).name == "manage.py":
        return "makemigrations" in rest
    return _fixes(rest) and bool(_kinds(program, words))


def _fixes(rest: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in FIXING for word in rest)


def _is_elsewhere(path: str) -> bool:
    return path.startswith(ELSEWHERE) or PurePath(path).name in CACHES


def _changes_by_word(program: str, rest: Sequence[str]) -> bool:
    """Of `npm run lint:fix`, `cargo add`, `make format`, `go mod tidy`: whether that rewrites the project's files."""
    words = [word for word in rest if not word.startswith("-")]
    if program in CONTAINERS:
        return False
    if program in PACKAGERS and words[:1] in (["install"], ["i"]) and words[1:]:
        return True
    if "-u" in rest and "test" in _kinds(program, [program, *rest]):
        return True  # snapshots
    if program not in ("make", "gmake", "just", "task"):
        words = words[1:2] if words[:1] in (["run"], ["run-script"], ["mod"]) else words[:1]
    named = _words_of(words)
    return _fixes(rest) or (bool(CHANGING & named) and "check" not in named)


def _words_of(targets: Sequence[str]) -> set[str]:
    return {part for target in targets if not target.startswith("-") for part in re.split(r"[:_.-]", target)}


def _may_change(line: str) -> bool:
    return ">" in line or bool(MUTATING.intersection(re.findall(r"[\w-]+", line)))


def _script_of(words: Sequence[str]) -> str:
    """The script or module that an interpreter runs; empty for code in the line itself or on its standard input."""
    rest = iter(words[1:])
    for word in rest:
        if word == "-m":
            return next(rest, "")
        if word in ("-c", "-e", "-", "--eval") or word.startswith("<"):
            return ""
        if not word.startswith("-"):
            return word
    return ""


def _kinds(program: str, words: Sequence[str]) -> tuple[Kind, ...]:
    """What a simple command checks. Any run of a program shows that it runs, a test too."""
    rest = words[1:]
    if PYTHON.match(program) or program in INTERPRETERS or program in SHELLS:
        script = _script_of(words)
        if program == "node" and "--test" in rest:
            return ("test", "run")
        if not script:
            return ("run",)
        module = PurePath(script).name
        if "-m" in rest and module == "build":
            return ("build",)
        at = rest.index(script) + 1
        inner = _kinds(module, [module, *rest[at:]])
        return inner if "run" in inner else (*inner, "run")
    if program in LINT_MODES:
        modes = LINT_MODES[program]
        checks = not modes or any(mode in rest for mode in modes)
        formats = program in ("black", "isort", "prettier") or (program == "ruff" and "format" in rest)
        return ("lint",) if checks and (not formats or CHECKING.intersection(rest)) else ()
    if program in ("tox", "nox") and (named := _named(" ".join(rest))):
        return named
    if program in CONTAINERS and (inside := _inside(rest)):
        return inside
    if program in BY_WORD and (named := _by_word(program, rest)):
        return named
    if program in ("make", "gmake") and _words_of(rest) & (CHANGING | NO_BUILD):
        return ()
    if program in PROGRAMS:
        return (*PROGRAMS[program], "run") if PROGRAMS[program] == ("test",) else PROGRAMS[program]
    if words[0] != "test" and (match := SCRIPT.match(program)):
        return (*OF_SCRIPT[match[1]], "run")
    return ("run",) if "/" in words[0] else ()


def _inside(rest: Sequence[str]) -> tuple[Kind, ...]:
    """What `docker exec web pytest` checks."""
    if not {"exec", "run"}.intersection(rest):
        return ()
    known = (n for n, word in enumerate(rest) if PurePath(word).name in PROGRAMS or PYTHON.match(PurePath(word).name))
    at = next(known, None) or next((n for n, word in enumerate(rest) if word in BY_WORD), None)
    return _kinds(PurePath(rest[at]).name, rest[at:]) if at is not None else ()


def _by_word(program: str, rest: Sequence[str]) -> tuple[Kind, ...]:
    """Of `make test`, `npm run build`, `cargo clippy`: the first word that says what is done."""
    if program in PACKAGERS:
        if rest[:1] in (["ci"], ["i"]):
            return ()
        rest = rest[1:] if rest[:1] in (["run"], ["run-script"]) else rest
    if program == "cmake":
        return ("build",) if "--build" in rest else ()
    if program == "cargo" and "fmt" in rest:
        return ("lint",) if "--check" in rest else ()
    if program == "cargo" and rest[:1] == ["check"]:
        return ("build", "types")
    installs = program not in ("mvn", "mvnw", "cabal", "stack")
    for word in rest:
        if word.startswith("-") or _ASSIGNMENT.match(word):
            continue
        if word == "install" and installs:
            return ()
        if named := _named(word.removeprefix(":").rsplit(":", 1)[-1]) or _named(word):
            return (*named, "run") if "test" in named else named
    return ()


def _named(text: str) -> tuple[Kind, ...]:
    """What a target's name says: `test`, `test:unit`, `lint-fix`, `py311-test`."""
    for word in re.split(r"[^A-Za-z]+|(?<=[a-z])(?=[A-Z])", text):
        if word.lower() in WORDS:
            return WORDS[word.lower()]
    return WORDS.get(text.lower(), ())
