"""Steps for files that are taken as they are: skills, commands, instructions, what was typed before."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from kimi_migrate.records import MAX_SIZE, read_bytes
from kimi_migrate.step import NewFile, NewFolder, Step, left, there

MAX_FILES = 2_000
"""Files of one skill."""


def new_file(what: str, source: Path, target: Path, note: str = "", group: str = "") -> Step:
    """A step that copies a file to a place where nothing is yet."""
    if target.exists():
        try:
            same = target.read_bytes() == source.read_bytes()
        except OSError:
            same = False
        state = there if same else left
        return state(what, source.name, source, "is here already" if same else f"{target} is there already")
    change = NewFile(target, lambda: read_bytes(source), source.stat().st_mtime)
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


def instruction_steps(source: Path, target: Path, taken: set[Path]) -> Iterator[Step]:
    """A person's own instructions for every project."""
    if not source.is_file():
        return
    if target in taken:
        yield left("instructions", source.name, source, f"{target.name} comes from another agent: add it by hand")
        return
    step = new_file("instructions", source, target)
    if step.state == "new":
        taken.add(target)
        if any(line.startswith("@") for line in source.read_text("utf-8", "replace").splitlines()):
            step = Step(step.what, step.name, source, target, "new", "lines with @FILE are not followed", step.change)
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
    if target.exists():
        same = (target / "SKILL.md").is_file() and (target / "SKILL.md").read_bytes() == (
            path / "SKILL.md"
        ).read_bytes()
        state = there if same else left
        return state("skill", path.name, path, "is here already" if same else f"{target} is there already")
    files = [file for file in path.rglob("*") if file.is_file()]
    if len(files) > MAX_FILES or sum(file.stat().st_size for file in files) > MAX_SIZE:
        return left("skill", path.name, path, "it is too large")
    return Step("skill", path.name, path, target, "new", "", NewFolder(target, path))


def _sorted(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
