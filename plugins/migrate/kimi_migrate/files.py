"""Steps for files that are taken as they are: skills, commands, instructions, what was typed before."""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from kimi_agent.agent.skill_files import check_inside
from kimi_agent.config.file import short_path
from kimi_agent.core.errors import SessionError
from kimi_migrate.records import MAX_SIZE, read_bytes
from kimi_migrate.step import NewFile, NewFolder, Step, left, there

MAX_FILES = 2_000
"""Files of one skill."""


def new_file(what: str, source: Path, target: Path, note: str = "", group: str = "") -> Step:
    """A step that copies a file to a place where nothing is yet."""
    try:
        data = read_bytes(source)
        if target.exists() and target.is_file() and target.read_bytes() == data:
            return there(what, source.name, source, "is here already")
        if os.path.lexists(target):
            return left(what, source.name, source, f"{short_path(target)} is there already")
        change = NewFile(target, partial(read_bytes, source), source.stat().st_mtime)
    except (SessionError, OSError) as error:
        return left(what, source.name, source, str(error))
    return Step(what, source.name, source, target, "new", note, change, group)


def skill_steps(folder: Path, target: Path) -> Iterator[Step]:
    """Skills of a folder where kimi does not look: `NAME/SKILL.md` and `NAME.md`."""
    for path in _sorted(folder):
        if path.suffix == ".md" and path.is_file():
            yield new_file("skill", path, target / path.name)
        elif (path / "SKILL.md").is_file():
            yield _skill(path, target / path.name)


def command_steps(folder: Path, target: Path) -> Iterator[Step]:
    """Markdown files that become custom commands."""
    for path in _sorted(folder):
        if path.suffix == ".md" and path.is_file():
            yield new_file("command", path, target / path.name, f"is /{path.stem} here")


def instruction_steps(source: Path, target: Path) -> Iterator[Step]:
    """A person's own instructions for every project."""
    if not source.is_file():
        return
    step = new_file("instructions", source, target)
    if step.change is not None and re.search(rb"^@", read_bytes(source), re.MULTILINE):
        step = replace(step, note="lines with @FILE are not followed")
    yield step


def history_steps(folder: Path, target: Path) -> Iterator[Step]:
    """What was typed before, one file per folder."""
    for path in sorted(folder.glob("*.jsonl")):
        yield new_file("typed prompts", path, target / path.name, group=str(folder))


def in_place(what: str, paths: Iterable[Path]) -> Iterator[Step]:
    """What kimi finds where it lies."""
    for path in paths:
        if path.exists():
            yield there(what, path.name, path, "is read in place")


def _skill(path: Path, target: Path) -> Step:
    head = target / "SKILL.md"
    try:
        if head.is_file() and head.read_bytes() == (path / "SKILL.md").read_bytes():
            return there("skill", path.name, path, "is here already")
        if os.path.lexists(target):
            return left("skill", path.name, path, f"{short_path(target)} is there already")
        files, others = _regular(path)
        if len(files) > MAX_FILES or sum(file.stat().st_size for file in files) > MAX_SIZE:
            return left("skill", path.name, path, "it is too large")
    except OSError as error:
        return left("skill", path.name, path, f"it cannot be read: {error.strerror or error}")
    note = f"without {others} that are no files, lead to a folder or to a secret" if others else ""
    change = NewFolder(target, path, tuple(file.relative_to(path) for file in files))
    return Step("skill", path.name, path, target, "new", note, change)


def _regular(folder: Path) -> tuple[list[Path], int]:
    """The files below a folder, and how many other things are there: pipes, links to folders, to nothing or to secrets."""
    files, others = [], 0
    for at, folders, names in os.walk(folder):
        others += sum(Path(at, name).is_symlink() for name in folders)
        for path in (Path(at, name) for name in sorted(names)):
            try:
                check_inside(path, "")
                good = stat.S_ISREG(path.stat().st_mode)
            except (ValueError, FileNotFoundError):
                good = False
            files += [path] if good else []
            others += not good
    return files, others


def _sorted(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
