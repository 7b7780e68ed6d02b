"""The proof that a command line only reads what may be read: every command of it, by its words, its program and its files."""

import functools
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from kimi_agent.core.git_env import GIT_ENV
from kimi_agent.rules.git import git_use, repository_problem
from kimi_agent.rules.lexer import Command, prove
from kimi_agent.rules.readonly import BUILTIN_READERS, use_of
from kimi_agent.rules.trees import tree_problem

FOLDERS = ("/usr/bin", "/bin", "/run/current-system/sw/bin")
"""Where programs are looked for: folders of the system, which no project writes to."""
UNPROVED = "it holds more than plain words: expansion, globbing, redirection, grouping, assignment or line breaks"
PRIVATE = "usually holds secrets, or is left out by .kimiignore"
_KEPT = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "TMPDIR")
_ENV = {"TERM": "dumb", "PAGER": "cat", "RIPGREP_CONFIG_PATH": "", "GREP_OPTIONS": ""} | GIT_ENV


class Places(Struct, frozen=True):
    """Where reading is free: `roots`, absolute and real, but for what `is_private` says of a path.

    `names_more`: more is private than the names that are known to everybody.
    """

    roots: tuple[str, ...]
    is_private: Callable[[str], bool]
    names_more: Callable[[], bool] = lambda: False


def reads_only(line: str, cwd: str, places: Places) -> tuple[list[Command], list[str]] | None:
    """The commands of a line, and for each why it is not proved to read only (empty: it is); None: the line is not understood."""
    commands = prove(line)
    if commands is None:
        return None
    return commands, [command_problem(command.words, cwd, places) for command in commands]


def command_problem(words: Sequence[str], cwd: str, places: Places) -> str:
    """Why a command is not proved to read only; empty when it is."""
    name = words[0]
    use = git_use(words) if name == "git" else use_of(words)
    if isinstance(use, str):
        return use
    if name not in BUILTIN_READERS and system_program(name) is None:
        return f"no {name} in the folders of the system"
    if name == "git" and (problem := _git_problem(words, cwd, places)):
        return problem
    for path in use.paths:
        if problem := _path_problem(path, cwd, places, content=True):
            return problem
    for path in (*use.listed, *use.tracked):
        if problem := _path_problem(path, cwd, places, content=False):
            return problem
    for path in use.trees:
        if problem := _tree_problem(path, cwd, places):
            return problem
    for path in use.tracked:
        if places.is_private(os.path.realpath(os.path.join(cwd, path))):  # noqa: PTH118
            return f"{path[:60]} {PRIVATE}"
    return "" if _inside(os.path.realpath(cwd), places) else "it runs outside of the workspace"


def _git_problem(words: Sequence[str], cwd: str, places: Places) -> str:
    if "--version" in words or "version" in words:
        return ""
    if problem := repository_problem(os.path.realpath(cwd), places.roots):
        return problem
    shows = {"diff", "show", "log", "grep", "blame", "status", "stash"}.intersection(words)
    return "it may show what .kimiignore leaves out" if shows and places.names_more() else ""


def _path_problem(path: str, cwd: str, places: Places, *, content: bool) -> str:
    if path == "-":
        return ""
    real = os.path.realpath(os.path.join(cwd, path))  # noqa: PTH118 - an absolute path replaces the folder
    shown = path[:60]
    if not _inside(real, places):
        return "" if real == os.devnull else f"{shown} lies outside of the workspace"
    if not content:
        return ""
    if places.is_private(real):
        return f"{shown} {PRIVATE}"
    try:
        mode = os.stat(real).st_mode  # noqa: PTH116
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else f"{shown} is not a regular file"


def _tree_problem(path: str, cwd: str, places: Places) -> str:
    real = os.path.realpath(os.path.join(cwd, path))  # noqa: PTH118
    if path == "-" or not os.path.isdir(real):  # noqa: PTH112
        return _path_problem(path, cwd, places, content=True)
    outside = _path_problem(path, cwd, places, content=False)
    return outside or tree_problem(real, ignores=places.names_more)


def _inside(real: str, places: Places) -> bool:
    return any(real == root or real.startswith(root.rstrip("/") + "/") for root in places.roots)


@functools.lru_cache(maxsize=256)
def system_program(name: str) -> str | None:
    """The absolute path of a program of the system: a file that belongs to root and that nobody else may write."""
    if "/" in name:
        return None
    for folder in FOLDERS:
        path = f"{folder}/{name}"
        try:
            found, place = os.stat(path), os.stat(folder)  # noqa: PTH116
        except OSError:
            continue
        safe = all(s.st_uid == 0 and not s.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for s in (found, place))
        return path if safe and stat.S_ISREG(found.st_mode) and os.access(path, os.X_OK) else None
    return None


def hardened(line: str) -> list[str] | None:
    """The arguments that run a proved line: bash without start-up files, functions and variables of anybody; None without bash.

    `-p` keeps bash from reading BASH_ENV and from taking functions out of its environment, `env -i` leaves only what is named.
    """
    env, bash = system_program("env"), system_program("bash")
    if env is None or bash is None:
        return None
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    folders = ":".join(folder for folder in FOLDERS if Path(folder).is_dir())
    variables = kept | _ENV | {"PATH": folders}
    return [env, "-i", *(f"{name}={value}" for name, value in variables.items()), bash, "-p", "-c", line]
