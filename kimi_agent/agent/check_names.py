"""Programs, targets and flags by name: what they check, what they wrap, what they change."""

import re
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["test", "build", "lint", "types", "run"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYWORDS = frozenset({"if", "then", "else", "elif", "while", "until", "do", "!", "{"})
DIVERTING = frozenset({"trap", "alias", "exec", "function"})  # before a check: it may not be what runs
HIDING = frozenset({"if", "while", "until", "elif", "!"})
WRAPPERS = _words("env time nice nohup sudo xvfb-run timeout stdbuf command exec npx bunx pnpx uvx xargs")
RUNNERS = frozenset(
    {"uv run", "poetry run", "pipenv run", "pdm run", "hatch run", "rye run", "bundle exec", "pnpm exec", "pnpm dlx"}
    | {
        "npm exec",
        "yarn exec",
        "yarn dlx",
        "pixi run",
        "coverage run",
        "mise exec",
        "dotenv run",
        "conda run",
        "go tool",
    }
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
BY_WORD = _words(
    "make gmake npm pnpm yarn bun deno cargo go just task rake gradle gradlew mvn mvnw dotnet swift mix bazel meson stack cabal "
    "sbt lein zig nx turbo composer flutter dart invoke inv poe hatch docker manage.py cmake nix uv "
    "poetry django-admin rails artisan"
)
PACKAGERS = frozenset({"npm", "pnpm", "yarn", "bun", "composer"})
CONTAINERS = frozenset({"docker", "podman", "docker-compose"})
# Targets that write files (unless they only look: `fmt-check`), and others that build nothing.
CHANGING = _words("format fmt fix generate gen codegen add remove update upgrade uninstall get tidy makemigrations")
NO_BUILD = _words("clean distclean help deploy dev serve watch publish release venv deps setup bootstrap")
LINT_MODES = {"ruff": ("check", "format"), "black": (), "isort": (), "prettier": (), "biome": ("check", "lint", "ci")}
FIXING = _words(
    "--fix --write --unsafe-fixes --fix-only --in-place --autocorrect --auto-correct --snapshot-update --update-snapshots "
    "--updateSnapshot"
)
CHECKING = frozenset({"--check", "--check-only", "--diff", "--list-different", "-l", "-c"})
INTERPRETERS = frozenset(
    {"node", "ruby", "perl", "php", "deno", "bun", "java", "lua", "Rscript", "tsx", "ts-node", "curl"}
)
ELSEWHERE = ("/dev/", "/tmp/", "/var/tmp/")  # noqa: S108 - files there are not the project's
CACHES = frozenset({"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})
# Options and words with which a program does not do what its name says.
ASKING = _words(
    "--help -h --version --collect-only --co --dry-run --just-print --recon --list --list-tests --listTests --fixtures "
    "--markers --setup-plan --setup-only --no-run --init"
)
ASKING_OF: dict[str, frozenset[str]] = {
    "ctest": frozenset({"-N", "--show-only"}), "tox": frozenset({"-l", "-a"}), "nox": frozenset({"-l"}),
    "go": frozenset({"-list", "-c", "-n"}), "vitest": frozenset({"list"}), "cypress": frozenset({"open", "install"}),
    "playwright": frozenset({"install", "show-report", "codegen"}),
    "pre-commit": frozenset({"install", "autoupdate", "uninstall", "clean"}),
}  # fmt: skip
IGNORING = frozenset({"--exit-zero", "--ignore-errors", "--if-present"})
WITH_VALUE = frozenset(
    {"--with", "--extra", "--group", "-p", "--python", "--env-file", "--source", "--directory", "--project", "-n", "-e"}
)
WRAPPER_VALUES = frozenset({"-u", "--user", "-s", "--signal", "-p", "--package", "-I"})
MUTATING = _words(
    "mv rm cp tee dd patch truncate install rsync unzip touch ln mkdir rmdir ed 2to3 autopep8 autoflake pyupgrade rustfmt "
    "clang-format gofmt goimports shred sponge ex"
)
GIT_CHANGES = _words(
    "checkout apply stash merge pull rebase reset restore revert cherry-pick switch clean am rm mv submodule clone"
)
PRINTING = _words("echo printf cat tail head grep egrep rg sed awk less yes")
GREPS = frozenset({"grep", "egrep", "rg"})
MUTE = _words("true false : exit cd sleep export set unset wait rm kill popd pushd")  # print nothing
SHOWS_NOTHING = frozenset(
    {"echo", "true", "printf", ":", "exit", "pwd", "date", "cd", "sleep", "export", "set", "whoami"}
)
