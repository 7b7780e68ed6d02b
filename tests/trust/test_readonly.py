"""Every command of the read-only table, with every flag of it and every flag that its help names, changes nothing (T16)."""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rule_house import book, run

from kimi_agent.rules.git import SUBCOMMANDS
from kimi_agent.rules.proof import hardened
from kimi_agent.rules.readonly import BUILTIN_READERS, READERS

ALL = int(os.environ.get("KIMI_FUZZ", "0")) > 10_000
"""`make nightly` tries every flag in more company."""
VALUES = ("1", "2,3", "a", "%s", "x", "f") if ALL else ("1",)
ENDS = ("", " a", " a b", " 1 a", " '[0-9]' a", " out", " a out") if ALL else (" a", " 1 a")
EXPRESSIONS = {
    "find": (
        "-name",
        "-type",
        "-size",
        "-mtime",
        "-perm",
        "-maxdepth",
        "-print0",
        "-empty",
        "-prune",
        "-delete",
        "-fprint",
    )
}


def manifest(folder: Path) -> dict[str, tuple[object, ...]]:
    """Name, kind, content and every time but that of the last access, of all that lies in a folder."""
    found: dict[str, tuple[object, ...]] = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            at = path.lstat()
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = (at.st_mode, at.st_size, at.st_mtime_ns, at.st_ctime_ns, at.st_ino, at.st_uid, content)
    return found


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A home beside a repository with an index that would be written anew: a file in it was touched."""
    work = tmp_path / "w"
    work.mkdir()
    (tmp_path / "home").mkdir()
    for number, name in enumerate(("a", "b", "c.json", "d.py")):
        (work / name).write_text('{"x": 1}\n' * (number + 2))
    (work / "dir").mkdir()
    (work / "dir" / "e").write_text("text\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "first"]):
        subprocess.run(["git", *words], cwd=work, check=True)
    os.utime(work / "a", (1, 1))
    (work / "b").write_text("changed\n")
    return work


def flags_of(name: str) -> set[str]:
    """The flags of the table and those that the program's own help names."""
    known = READERS[name]
    found = {f"-{letter}" for letter in known.short + known.valued} | {*known.long.split(), *known.long_valued.split()}
    program = shutil.which(name, path="/usr/bin:/bin")
    if program and name not in BUILTIN_READERS:
        done = subprocess.run(
            [program, "--help"], capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=False
        )
        found |= set(
            re.findall(r"(?<![\w-])--?[A-Za-z0-9][\w-]*", (done.stdout + done.stderr).decode("utf-8", "replace"))
        )
    return found


def lines_of(name: str) -> Iterator[str]:
    yield from (name, f"{name} a", f"{name} a b", f"{name} a.out", f"{name} -- a", f"{name} a b c")
    for flag in sorted(flags_of(name) | set(EXPRESSIONS.get(name, ()))):
        for end in ENDS:
            yield f"{name} {flag}{end}"
        for value in VALUES:
            yield f"{name} {flag}{'=' if flag.startswith('--') else ''}{value} a"
            if ALL or name in EXPRESSIONS:
                yield f"{name} . {flag} {value}"


def run_all(house: Path, lines: list[str]) -> None:
    """Run proved lines at once, as they would be run one by one, and see that nothing has changed."""
    home = house.parent / "home"
    argv = hardened("\n".join(f"({line}) </dev/null" for line in lines))
    assert argv is not None
    argv = [
        f"HOME={home}" if word.startswith("HOME=") else f"TMPDIR={home}" if word.startswith("TMPDIR=") else word
        for word in argv
    ]
    before = manifest(house.parent)
    subprocess.run(argv, cwd=house, stdin=subprocess.DEVNULL, capture_output=True, timeout=110, check=False)
    after = manifest(house.parent)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert not changed, (changed, lines)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_command_changes_nothing(house: Path, name: str) -> None:
    rules = book(house)
    proved = [line for line in dict.fromkeys(lines_of(name)) if run(rules, line).verdict == "allow"]
    if proved:
        run_all(house, proved)


def test_git_changes_nothing(house: Path) -> None:
    rules = book(house)
    lines = []
    for name, sub in SUBCOMMANDS.items():
        words = [name, sub.verb] if sub.verb else [name]
        start = f"git {' '.join(words)}"
        flags = {
            *sub.flags.split(),
            *(f"{flag}=1" for flag in sub.valued.split()),
            *(f"{flag} 1" for flag in sub.short_valued.split()),
        }
        alike = name in ("log", "show") and not ALL  # their flags are those of diff
        for flag in ("", "-p") if alike else sorted({"", *flags}):
            ends = ("", " HEAD", " -- a", f" {sub.needs.partition(' ')[0]} a") if ALL or not flag else (" -- a",)
            lines += [f"{start} {flag}{end}" for end in ends]
    proved = [
        line for line in dict.fromkeys(" ".join(line.split()) for line in lines) if run(rules, line).verdict == "allow"
    ]
    assert len(proved) > 150
    run_all(house, proved)


def test_the_table_holds_what_is_used_daily(house: Path) -> None:
    rules = book(house)
    refused = [
        n
        for n in ("ls", "cat a", "head a", "wc a", "grep x a", "find .", "git status")
        if run(rules, n).verdict != "allow"
    ]
    assert not refused
