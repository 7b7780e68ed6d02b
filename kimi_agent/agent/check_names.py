"""Programs, targets and flags by name: what they check, what they wrap, what they change."""

import re
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["test", "build", "lint", "types", "run"]

KEYWORDS = frozenset({"if", "then", "else", "elif", "while", "until", "do", "!", "time", "{"})
HIDING = frozenset({"if", "while", "until", "elif", "!"})
WRAPPERS = frozenset(
    {"env", "nice", "nohup", "sudo", "xvfb-run", "timeout", "stdbuf", "command", "exec", "npx", "bunx", "pnpx", "uvx"}
)
RUNNERS = frozenset(
    {"uv run", "poetry run", "pipenv run", "pdm run", "hatch run", "rye run", "bundle exec", "pnpm exec", "pnpm dlx"}
    | {"npm exec", "yarn exec", "yarn dlx", "pixi run", "mise exec", "dotenv run", "conda run", "go tool"}
)
PYTHON = re.compile(r"python[\d.]*$|pypy[\d.]*$")
SHELLS = frozenset({"sh", "bash", "zsh", "dash"})
SCRIPT = re.compile(r"(?:run[-_.]?)?(tests?|checks?|verify|ci|lint|build|typecheck)(?:[-_.].*)?$")

OF_SCRIPT: dict[str, tuple[Kind, ...]] = {
    "test": ("test",), "tests": ("test",), "check": ("test", "lint", "types"), "checks": ("test", "lint", "types"),
    "verify": ("test", "lint", "types", "build"), "ci": ("test", "lint", "types", "build"), "lint": ("lint",),
    "build": ("build",), "typecheck": ("types",),
}  # fmt: skip
PROGRAMS: dict[str, tuple[Kind, ...]] = {
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
PROGRAMS["tsc"] = PROGRAMS["vue-tsc"] = ("types", "build")
WORDS: dict[str, tuple[Kind, ...]] = {
    "test": ("test",), "tests": ("test",), "t": ("test",), "nextest": ("test",), "spec": ("test",), "verify": ("test", "build"),
    "build": ("build",), "compile": ("build",), "package": ("build",), "assemble": ("build",), "b": ("build",),
    "all": ("build",), "install": ("build",), "lint": ("lint",), "clippy": ("lint",), "vet": ("lint",), "style": ("lint",),
    "typecheck": ("types",), "type-check": ("types",), "types": ("types",), "mypy": ("types",), "run": ("run",),
    "start": ("run",), "check": ("test", "lint", "types"), "checks": ("test", "lint", "types"),
    "ci": ("test", "lint", "types", "build"),
}  # fmt: skip
BY_WORD = frozenset(
    {
        "make",
        "gmake",
        "npm",
        "pnpm",
        "yarn",
        "bun",
        "deno",
        "cargo",
        "go",
        "just",
        "task",
        "rake",
        "gradle",
        "gradlew",
        "mvn",
    }
    | {
        "mvnw",
        "dotnet",
        "swift",
        "mix",
        "bazel",
        "meson",
        "stack",
        "cabal",
        "sbt",
        "lein",
        "zig",
        "nx",
        "turbo",
        "composer",
    }
    | {
        "flutter",
        "dart",
        "invoke",
        "inv",
        "poe",
        "hatch",
        "docker",
        "manage.py",
        "cmake",
        "nix",
        "uv",
        "poetry",
        "django-admin",
    }
)
LINT_MODES = {"ruff": ("check", "format"), "black": (), "isort": (), "prettier": (), "biome": ("check", "lint", "ci")}
FIXING = frozenset(
    {"--fix", "--write", "--unsafe-fixes", "--fix-only", "-w", "--in-place", "--autocorrect", "--auto-correct"}
)
CHECKING = frozenset({"--check", "--check-only", "--diff", "--list-different", "-l", "-c"})
INTERPRETERS = frozenset(
    {"node", "ruby", "perl", "php", "deno", "bun", "java", "lua", "Rscript", "tsx", "ts-node", "curl"}
)
ELSEWHERE = ("/dev/", "/tmp/", "/var/tmp/")  # noqa: S108 - files there are not the project's
ASKING = frozenset({"--help", "-h", "--version", "--collect-only", "--co", "--dry-run", "--list", "--list-tests"})
WITH_VALUE = frozenset(
    {"--with", "--extra", "--group", "-p", "--python", "--env-file", "--directory", "--project", "-n", "-e"}
)
MUTATING = frozenset(
    {
        "mv",
        "rm",
        "cp",
        "tee",
        "dd",
        "patch",
        "truncate",
        "install",
        "rsync",
        "unzip",
        "touch",
        "ln",
        "mkdir",
        "rmdir",
        "ed",
    }
    | {
        "2to3",
        "autopep8",
        "autoflake",
        "pyupgrade",
        "rustfmt",
        "clang-format",
        "gofmt",
        "goimports",
        "shred",
        "sponge",
        "ex",
    }
)
GIT_CHANGES = frozenset(
    {
        "checkout",
        "apply",
        "stash",
        "merge",
        "pull",
        "rebase",
        "reset",
        "restore",
        "revert",
        "cherry-pick",
        "switch",
        "clean",
    }
    | {"am", "rm", "mv", "submodule", "clone"}
)
FORMATTERS = {"cargo": "fmt", "go": "fmt", "dart": "format", "mix": "format", "npm": "format", "yarn": "format"}
SHOWS_NOTHING = frozenset(
    {"echo", "true", "printf", ":", "exit", "pwd", "date", "cd", "sleep", "export", "set", "whoami"}
)
