"""Command lines as evidence: what they check, whether their exit code speaks for that, and whether they change files."""

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["test", "build", "lint", "types", "run"]

_SEPARATORS = frozenset({";", "&&", "||", "|", "|&", "&", "(", ")", "\n", ";;"})
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1(.*?)\n.*?^\s*\2\s*$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+\+?=")
_WRITES = re.compile(r"write|\.save|unlink|rename|remove|rmtree|replace\(|copy|mkdir|open\([^)]*['\"][wax]")
_NUMBERED = re.compile(r"\d+")
_KEYWORDS = frozenset({"if", "then", "else", "elif", "while", "until", "do", "!", "time", "{"})
_HIDING = frozenset({"if", "while", "until", "elif", "!"})
_WRAPPERS = frozenset(
    {"env", "nice", "nohup", "sudo", "xvfb-run", "timeout", "stdbuf", "command", "exec", "npx", "bunx", "pnpx", "uvx"}
)
_RUNNERS = frozenset(
    {"uv run", "poetry run", "pipenv run", "pdm run", "hatch run", "rye run", "bundle exec", "pnpm exec", "pnpm dlx"}
    | {"npm exec", "yarn exec", "yarn dlx", "pixi run", "mise exec", "dotenv run", "conda run", "go tool"}
)
_PYTHON = re.compile(r"python[\d.]*$|pypy[\d.]*$")
_SHELLS = frozenset({"sh", "bash", "zsh", "dash"})
_SCRIPT = re.compile(r"(?:run[-_.]?)?(tests?|checks?|verify|ci|lint|build|typecheck)(?:[-_.].*)?$")

_OF_SCRIPT: dict[str, tuple[Kind, ...]] = {
    "test": ("test",), "tests": ("test",), "check": ("test", "lint", "types"), "checks": ("test", "lint", "types"),
    "verify": ("test", "lint", "types", "build"), "ci": ("test", "lint", "types", "build"), "lint": ("lint",),
    "build": ("build",), "typecheck": ("types",),
}  # fmt: skip
_PROGRAMS: dict[str, tuple[Kind, ...]] = {
    **dict.fromkeys(
        ("pytest", "py.test", "nose2", "unittest", "doctest", "jest", "vitest", "mocha", "ava", "rspec", "phpunit", "pest",
         "ctest", "bats", "playwright", "cypress", "karma", "tap", "gotestsum", "cargo-nextest", "trial", "behave", "stestr"),
        ("test",),
    ),
    **dict.fromkeys(("tox", "nox"), ("test",)),
    **dict.fromkeys(
        ("flake8", "pylint", "eslint", "shellcheck", "golangci-lint", "rubocop", "yamllint", "hadolint", "stylelint",
         "markdownlint", "pre-commit", "pycodestyle", "pydocstyle", "bandit", "staticcheck", "ktlint", "clang-tidy", "oxlint",
         "lint-imports", "codespell", "swiftlint", "standard", "xo"),
        ("lint",),
    ),
    **dict.fromkeys(("mypy", "pyright", "basedpyright", "ty", "pyre", "tsc", "vue-tsc", "flow"), ("types",)),
    **dict.fromkeys(
        ("make", "gmake", "ninja", "gcc", "g++", "cc", "c++", "clang", "clang++", "javac", "rustc", "webpack", "rollup", "vite",
         "esbuild", "tsup", "compileall", "py_compile", "mkdocs", "sphinx-build", "xcodebuild", "msbuild", "ant", "scons"),
        ("build",),
    ),
}  # fmt: skip
_PROGRAMS["tsc"] = _PROGRAMS["vue-tsc"] = ("types", "build")
_WORDS: dict[str, tuple[Kind, ...]] = {
    "test": ("test",), "tests": ("test",), "t": ("test",), "nextest": ("test",), "spec": ("test",), "verify": ("test", "build"),
    "build": ("build",), "compile": ("build",), "package": ("build",), "assemble": ("build",), "b": ("build",),
    "all": ("build",), "install": ("build",), "lint": ("lint",), "clippy": ("lint",), "vet": ("lint",), "style": ("lint",),
    "typecheck": ("types",), "type-check": ("types",), "types": ("types",), "mypy": ("types",), "run": ("run",),
    "start": ("run",), "check": ("test", "lint", "types"), "checks": ("test", "lint", "types"),
    "ci": ("test", "lint", "types", "build"),
}  # fmt: skip
_BY_WORD = frozenset(
    {"make", "gmake", "npm", "pnpm", "yarn", "bun", "deno", "cargo", "go", "just", "task", "rake", "gradle", "gradlew", "mvn"}
    | {"mvnw", "dotnet", "swift", "mix", "bazel", "meson", "stack", "cabal", "sbt", "lein", "zig", "nx", "turbo", "composer"}
    | {"flutter", "dart", "invoke", "inv", "poe", "hatch", "docker", "manage.py", "cmake", "nix", "uv", "poetry", "django-admin"}
)
_LINT_MODES = {"ruff": ("check", "format"), "black": (), "isort": (), "prettier": (), "biome": ("check", "lint", "ci")}
_FIXING = frozenset({"--fix", "--write", "--unsafe-fixes", "--fix-only", "-w", "--in-place", "--autocorrect", "--auto-correct"})
_CHECKING = frozenset({"--check", "--check-only", "--diff", "--list-different", "-l", "-c"})
_INTERPRETERS = frozenset({"node", "ruby", "perl", "php", "deno", "bun", "java", "lua", "Rscript", "tsx", "ts-node", "curl"})
_ASKING = frozenset({"--help", "-h", "--version", "--collect-only", "--co", "--dry-run", "--list", "--list-tests"})
_WITH_VALUE = frozenset({"--with", "--extra", "--group", "-p", "--python", "--env-file", "--directory", "--project", "-n", "-e"})
_MUTATING = frozenset(
    {"mv", "rm", "cp", "tee", "dd", "patch", "truncate", "install", "rsync", "unzip", "touch", "ln", "mkdir", "rmdir", "ed"}
    | {"2to3", "autopep8", "autoflake", "pyupgrade", "rustfmt", "clang-format", "gofmt", "goimports", "shred", "sponge", "ex"}
)
_GIT_CHANGES = frozenset(
    {"checkout", "apply", "stash", "merge", "pull", "rebase", "reset", "restore", "revert", "cherry-pick", "switch", "clean"}
    | {"am", "rm", "mv", "submodule", "clone"}
)
_FORMATTERS = {"cargo": "fmt", "go": "fmt", "dart": "format", "ruff": "format", "mix": "format", "npm": "format", "yarn": "format"}
_SHOWS_NOTHING = frozenset({"echo", "true", "printf", ":", "exit", "pwd", "date", "cd", "sleep", "export", "set", "whoami"})


@dataclass(frozen=True, slots=True)
class Part:
    """One simple command of a line: what it checks, and whether the exit code 0 of the line says that it succeeded."""

    text: str
    kinds: tuple[Kind, ...]
    changes: bool
    speaks: bool
    idle: bool


def parts(line: str) -> list[Part]:
    """The simple commands of a command line, in order. What cannot be read is one part that checks nothing."""
    inline_writes = bool(_WRITES.search(line))
    text = _HEREDOC.sub(r"<<\2 \3", line).replace("\\\n", " ")
    try:
        tokens = list(_tokens(text))
    except ValueError:
        return [Part(line, (), _may_change(line), True, False)]
    pipefail = "pipefail" in tokens
    errexit = "set" in tokens and any(re.fullmatch(r"-\w*e\w*", token) for token in tokens)
    commands = _split(tokens)
    found: list[Part] = []
    for position, (words, _) in enumerate(commands):
        speaks = _speaks([after for _, after in commands[position:]], pipefail, errexit)
        speaks = speaks and not _HIDING.intersection(words[:2])
        piped = bool(position and commands[position - 1][1] in ("|", "|&") and found and found[-1].kinds)
        if not (piped and words[0] == "tee"):  # else: a log of the check
            found += _read(words, speaks, inline_writes)
    return found


def _tokens(text: str) -> Iterator[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&\n")
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
    return [*commands, (words, "")] if words else commands


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
    text, bare = shlex.join(words), _bare(words)
    redirected = _redirects(words)
    if not bare:
        return [Part(text, (), redirected, speaks, True)]
    program = PurePath(bare[0]).name
    code = next((n for n, word in enumerate(bare[1:3], 2) if re.fullmatch(r"-[a-z]*c", word)), len(bare))
    if program in _SHELLS and code < len(bare):
        inner = parts(bare[code])
        return [Part(p.text, p.kinds, p.changes or redirected, p.speaks and speaks, p.idle) for p in inner]
    inline = bool(_PYTHON.match(program) or program in _INTERPRETERS) and not _script_of(bare)
    kinds = () if _ASKING.intersection(bare[1:]) else _kinds(program, bare)
    logged = redirected and bool(set(kinds) - {"run"})
    changes = (redirected and not logged) or _mutates(program, bare) or (inline and inline_writes)
    return [Part(text, kinds, changes, speaks, program in _SHOWS_NOTHING)]


def _bare(words: Sequence[str]) -> list[str]:
    """The words without keywords, assignments, wrappers and redirections."""
    rest = [word for word in words if word not in _KEYWORDS]
    while rest:
        name = PurePath(rest[0]).name
        if _ASSIGNMENT.match(rest[0]):
            rest = rest[1:]
        elif name in _WRAPPERS:
            rest = rest[1:]
            while rest and (rest[0].startswith("-") or _NUMBERED.match(rest[0]) or _ASSIGNMENT.match(rest[0])):
                rest = rest[1:]
        elif " ".join([name, *rest[1:2]]) in _RUNNERS:
            rest = rest[2:]
            while rest and rest[0].startswith("-"):
                rest = rest[2:] if rest[0] in _WITH_VALUE else rest[1:]
        else:
            break
    return rest


def _redirects(words: Sequence[str]) -> bool:
    """Whether output goes into a file, other than /dev/null and the like."""
    for word, target in zip(words, [*words[1:], ""], strict=True):
        if set(word) <= set("<>&") and ">" in word:
            file = target.lstrip("&")
            if not (file.startswith("/dev/") or file.isdigit() or file == "-" or file.startswith(("/tmp/", "/var/tmp/"))):
                return True
    return False


def _mutates(program: str, words: Sequence[str]) -> bool:
    rest = words[1:]
    if program == "git":
        command = next((word for word in rest if not word.startswith("-")), "")
        return command in _GIT_CHANGES and not (command == "stash" and "list" in rest)
    if program in ("sed", "perl", "gsed"):
        return any(re.match(r"-[a-z]*i|--in-place", word) for word in rest)
    if program in ("black", "isort", "prettier", "ruff") and (program != "ruff" or "format" in rest):
        return not _CHECKING.intersection(rest)
    if program in _FORMATTERS and _FORMATTERS[program] in rest:
        return not _CHECKING.intersection(rest)
    if program in ("gofmt", "goimports", "clang-format", "shfmt"):
        return bool({"-w", "-i"}.intersection(rest))
    if program in ("find", "xargs"):
        return bool({"-delete", *_MUTATING}.intersection(rest)) or "-i" in rest
    if program in ("curl", "wget"):
        return program == "wget" or bool({"-o", "-O", "--output"}.intersection(rest))
    if program == "tar":
        return bool(rest) and ("x" in rest[0].split("=")[0] or "--extract" in rest)
    fixes = any(word.partition("=")[0] in _FIXING for word in rest)
    return program in _MUTATING or (fixes and bool(_kinds(program, words)))


def _may_change(line: str) -> bool:
    return ">" in line or bool(_MUTATING.intersection(re.findall(r"[\w-]+", line)))


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
    if _PYTHON.match(program) or program in _INTERPRETERS or program in _SHELLS:
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
    if program in _LINT_MODES:
        modes = _LINT_MODES[program]
        checks = not modes or any(mode in rest for mode in modes)
        formats = program in ("black", "isort", "prettier") or (program == "ruff" and "format" in rest)
        return ("lint",) if checks and (not formats or _CHECKING.intersection(rest)) else ()
    if program in ("tox", "nox") and (named := _named(" ".join(rest))):
        return named
    if program in _BY_WORD and (named := _by_word(program, rest)):
        return named
    if program in _PROGRAMS:
        return (*_PROGRAMS[program], "run") if _PROGRAMS[program] == ("test",) else _PROGRAMS[program]
    if match := _SCRIPT.match(program):
        return (*_OF_SCRIPT[match[1]], "run")
    return ("run",) if "/" in words[0] else ()


def _by_word(program: str, rest: Sequence[str]) -> tuple[Kind, ...]:
    """Of `make test`, `npm run build`, `cargo clippy`: the first word that says what is done."""
    if program in ("npm", "pnpm", "yarn", "bun", "composer") and rest[:1] and rest[0] in ("run", "run-script"):
        rest = rest[1:]
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
        if word.lower() in _WORDS:
            return _WORDS[word.lower()]
    return _WORDS.get(text.lower(), ())
