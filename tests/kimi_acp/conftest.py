"""Two editors for all tests of a worker: one that can do all, one that can do nothing. What they saw keeps to the schema."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from acp_editor import ALL, Editor, Message
from acp_schema import violations
from kimi_program import Program


@contextlib.contextmanager
def editing(program: Program, *flags: str, capabilities: Message) -> Iterator[Editor]:
    editor = Editor(program, *flags, capabilities=capabilities)
    try:
        yield editor
    finally:
        code = editor.close()
    assert (code, editor.stderr) == (0, "")
    with contextlib.suppress(pytest.skip.Exception):  # no registry of npm, no schema
        assert violations(editor.transcript) == []


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
