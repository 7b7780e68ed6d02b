"""Two editors for all tests of a worker: one that can do all, one that can do nothing. What they saw keeps to the schema."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from acp_editor import ALL, Editor
from acp_schema import editing
from kimi_program import Program


@pytest.fixture(scope="session")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with editing(Program(tmp_path_factory.mktemp("editor")), capabilities=ALL) as found:
        yield found


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with editing(Program(tmp_path_factory.mktemp("bare")), capabilities={}) as found:
        yield found


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder of the test's own."""
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    return tmp_path
