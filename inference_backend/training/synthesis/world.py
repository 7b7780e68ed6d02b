"""A world: what lies in a folder before a task begins, as plain data, and made real in a moment."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

START = 1_750_000_000
"""Seconds since the epoch: the oldest file of a world is of this time, each further one a minute younger."""
LEFT_BEHIND = frozenset({".git", "__pycache__", ".pytest_cache", ".kimi"})
"""What programs leave in a folder: no part of what a goal looks at."""
_GIT = ("git", "-c", "init.defaultBranch=main", "-c", "core.hooksPath=/dev/null")


class Commit(Struct, frozen=True):
    """What changed by it: texts by path."""

    message: str
    files: dict[str, str]


class World(Struct, frozen=True):
    """`files` are texts by path; `folders` are empty ones. With `commits` there is a git repository, and `files` lie uncommitted
    above the last of them. `site` are pages by path, served at `port` of this machine as long as the task lasts."""

    files: dict[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    commits: tuple[Commit, ...] = ()
    site: dict[str, str] = field(default_factory=dict)
    port: int = 0

    def tree(self) -> dict[str, str]:
        """Every text by its path, as the task finds it."""
        whole: dict[str, str] = {}
        for commit in self.commits:
            whole |= commit.files
        return whole | self.files


def make_world(world: World, folder: Path) -> None:
    """Write a world into `folder`, which is made if it is not there and must be empty. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in world.folders:
        (folder / name).mkdir(parents=True, exist_ok=True)
    age = 0
    for number, commit in enumerate(world.commits):
        age = _write(folder, commit.files, age)
        if number == 0:
            _git(folder, START, "init", "-q")
            with (folder / ".git" / "config").open("a") as config:
                config.write("[user]\n\tname = Sam\n\temail = sam@example.com\n[gc]\n\tauto = 0\n")
        _git(folder, START + 60 * number, "add", "-A")
        _git(folder, START + 60 * number, "commit", "-q", "-m", commit.message)
    _write(folder, world.files, age)


def _write(folder: Path, files: Mapping[str, str], age: int) -> int:
    for path, text in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        os.utime(target, (START + 60 * age, START + 60 * age))
        age += 1
    return age


def _git(folder: Path, when: int, *arguments: str) -> None:
    dates = {"GIT_AUTHOR_DATE": f"{when} +0000", "GIT_COMMITTER_DATE": f"{when} +0000"}
    env = {**os.environ, **dates, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run([*_GIT, *arguments], cwd=folder, env=env, check=True, capture_output=True)


def tree_of(folder: Path) -> dict[str, str]:
    """The texts in a folder by path, without what programs leave behind; a file that is no text as `<N bytes>`."""
    found: dict[str, str] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_BEHIND)
        for name in sorted(names):
            path = Path(parent) / name
            data = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
            try:
                found[path.relative_to(folder).as_posix()] = data.decode()
            except UnicodeDecodeError:
                found[path.relative_to(folder).as_posix()] = f"<{len(data)} bytes>"
    return found
