"""docs/security.md promises nothing without a test: each test that it names is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_each_test_that_the_page_names_is_there() -> None:
    files = set(re.findall(r"`(tests/[\w./]+\.py)`", PAGE))
    sources = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 40
    assert sorted(name for name in named if f"def {name}(" not in sources) == []


def test_each_promise_names_tests_of_its_own() -> None:
    promises = re.split(r"^### ", PAGE.partition("## What is not promised")[0], flags=re.MULTILINE)[1:]
    assert [promise.splitlines()[0] for promise in promises if not re.search(r"`test_\w+`", promise)] == []


def test_what_is_expected_to_fail_is_marked_so() -> None:
    injection = (ROOT / "tests" / "trust" / "test_injection.py").read_text(encoding="utf-8")
    expected = re.findall(r"xfail\(strict=True[^\n]*\n(?:async )?def (test_\w+)", injection)
    assert expected
    assert all(name in PAGE.partition("*Not yet*, and kept as tests that are expected to fail")[2] for name in expected)
