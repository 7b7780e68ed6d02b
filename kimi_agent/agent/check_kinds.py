"""One simple command: what it checks, by its program, targets and options, and whether it changes files."""

import re
from collections.abc import Sequence
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
    INTERPRETERS,
    LINT_MODES,
    MUTATING,
    NO_BUILD,
    OF_SCRIPT,
    PACKAGERS,
    PROGRAMS,
    PYTHON,
    SCRIPT,
    SHELLS,
    WORDS,
    Kind,
)

ASSIGNMENT = re.compile(r"\w+\+?=")
_NO_TARGETS = re.compile(r"-[BeikrRsSw]*[nqt]")  # of make: `-n` and the like only show


def only_asks(program: str, rest: Sequence[str]) -> bool:
    """Whether its options make it show something instead of doing it."""
    if ASKING.intersection(rest) or ASKING_OF.get(program, frozenset()).intersection(rest):
        return True
    if program in SHELLS and rest[:1] == ["-n"]:
        return True
    return program in ("make", "gmake") and any(_NO_TARGETS.match(word) for word in rest)


def mutates(program: str, words: Sequence[str]) -> bool:
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
    if PYTHON.match(program) and PurePath(script_of(words)).name == "manage.py":
        return "makemigrations" in rest
    return _fixes(rest) and bool(kinds_of(program, words))


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
    if "-u" in rest and "test" in kinds_of(program, [program, *rest]):
        return True  # snapshots
    if program not in ("make", "gmake", "just", "task"):
        words = words[1:2] if words[:1] in (["run"], ["run-script"], ["mod"]) else words[:1]
    named = _words_of(words)
    return _fixes(rest) or (bool(CHANGING & named) and "check" not in named)


def _words_of(targets: Sequence[str]) -> set[str]:
    return {part for target in targets if not target.startswith("-") for part in re.split(r"[:_.-]", target)}


def script_of(words: Sequence[str]) -> str:
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


def kinds_of(program: str, words: Sequence[str]) -> tuple[Kind, ...]:
    """What a simple command checks. Any run of a program shows that it runs, a test too."""
    rest = words[1:]
    by_word = _by_word(program, rest) if program in BY_WORD else ()
    if not by_word and (PYTHON.match(program) or program in INTERPRETERS or program in SHELLS):
        script = script_of(words)
        if program == "node" and "--test" in rest:
            return ("test", "run")
        if not script:
            return ("run",)
        module = PurePath(script).name
        if "-m" in rest and module == "build":
            return ("build",)
        at = rest.index(script) + 1
        inner = kinds_of(module, [module, *rest[at:]])
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
    if by_word:
        return by_word
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
    return kinds_of(PurePath(rest[at]).name, rest[at:]) if at is not None else ()


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
        if word.startswith("-") or ASSIGNMENT.match(word):
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
