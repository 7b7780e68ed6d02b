"""`grep -r` runs unasked where everything that it may show may be shown, and nothing keeps it waiting (T13)."""

import os
import time
from pathlib import Path

import pytest
from rule_house import book, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "w"
    for name in ("a.txt", "src/b.py", "src/deep/c.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text\n")
    (tmp_path / "outside").mkdir()
    return folder


LINES = (
    "grep -rn text .",
    "grep -rin text",
    "grep --recursive text src",
    "grep -rne text src/deep a.txt",
    "grep -rl --include='*.py' text . | head -5",
)


def reason(folder: Path, line: str = "grep -rn text .") -> str:
    """Why it is asked for; empty where it is not."""
    ruling = run(book(folder), line)
    return "" if ruling.verdict == "allow" else ruling.reason


@pytest.mark.parametrize("line", LINES)
def test_a_search_of_a_tree_runs_unasked(folder: Path, line: str) -> None:
    (folder / "link").symlink_to(folder.parent / "outside")  # grep -r follows none
    assert reason(folder, line) == ""


@pytest.mark.parametrize("line", ["grep -rn text ..", "grep -rn text /etc", "grep -rn text link", "grep -Rn text ."])
def test_not_outside_of_the_folder(folder: Path, line: str) -> None:
    (folder / "link").symlink_to(folder.parent / "outside")
    assert reason(folder, line)


@pytest.mark.parametrize("name", ["src/deep/.env", "src/server.pem", ".ssh/config"])
def test_not_where_a_private_file_is(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("KEY=text")
    assert reason(folder) == f"{Path(name).name} usually holds secrets"


def test_not_where_kimiignore_says_more(folder: Path) -> None:
    (folder / ".kimiignore").write_text("notes/\n")
    assert "kimiignore" in reason(folder)


def test_not_where_something_would_not_end(folder: Path) -> None:
    os.mkfifo(folder / "src" / "pipe")
    assert reason(folder) == "pipe is not a regular file"


def test_what_came_since_the_last_look_counts(folder: Path) -> None:
    old = time.time() - 100
    for place in (folder, folder / "src", folder / "src" / "deep"):
        os.utime(place, (old, old))
    assert reason(folder) == ""
    (folder / "src" / "deep" / "x").write_text("text")
    (folder / "src" / "deep" / "x").rename(folder / "src" / "deep" / ".env")
    assert ".env" in reason(folder)


def test_not_where_there_is_too_much(folder: Path) -> None:
    (folder / "many").mkdir()
    for number in range(10_001):
        (folder / "many" / str(number)).touch()
    assert "more below it" in reason(folder)
