"""docs/security.md and docs/reliability.md promise nothing without a test: each test that they name is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = {name: (ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("security.md", "reliability.md")}
PAGE = PAGES["security.md"]
TRIED = "## What is tried, and where"


def test_each_test_that_the_pages_name_is_there() -> None:
    for page in PAGES.values():
        there = {
            name for file in (ROOT / "tests").rglob("test_*.py")
            for name in re.findall(r"def (test_\w+)\(", file.read_text(encoding="utf-8"))
        }  # fmt: skip
        named = set(re.findall(r"`(test_\w+)`", page))
        assert len(named) > 30
        assert sorted(named - there) == []
    for file, tests in re.findall(r"^- `(tests/[\w./]+\.py)`: ((?:.|\n(?!-|\n|#))*)", PAGE, re.MULTILINE):
        source = (ROOT / file).read_text(encoding="utf-8")
        assert [name for name in re.findall(r"`(test_\w+)`", tests) if f"def {name}(" not in source] == [], file


def test_each_promise_names_tests_of_its_own() -> None:
    promises = re.split(r"^### ", PAGE.partition("## What is not promised")[0], flags=re.MULTILINE)[1:]
    assert len(promises) == 13
    assert [promise.splitlines()[0] for promise in promises if not re.search(r"`test_\w+`", promise)] == []


def test_each_row_of_what_is_tried_names_tests() -> None:
    for page in PAGES.values():
        rows = [line for line in page.partition(TRIED)[2].splitlines() if line.startswith("|")][2:]
        assert len(rows) > 10
        assert [row for row in rows if not re.search(r"`test_\w+`", row)] == []
