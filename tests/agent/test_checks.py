"""Command lines: what they check, whether their exit code says so, and whether they change files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kimi_agent.agent.checks import parts

CHECKS = [
    ("pytest -q", "test"), (".venv/bin/python -m pytest -n 2", "test"), ("FOO=1 timeout 60 python3 -m unittest", "test"),
    ("cd web && npm test", "test"), ("npm run test:unit", "test"), ("cargo test", "test"), ("go test ./...", "test"),
    ("uv run --with x pytest", "test"), ("npx jest", "test"), ("./run_tests.sh", "test"), ("bash -lc 'cd a && pytest'", "test"),
    ("./gradlew test", "test"), ("just test", "test"), ("make test", "test"), ("tox", "test"), ("python test_it.py", "test"),
    ("node --test", "test"), ("dotnet test", "test"), ("(cd a && pytest)", "test"), ("pytest 2>&1 | tee log.txt", ""),
    ("make", "build"), ("npm run build", "build"), ("cargo build --release", "build"), ("go build ./...", "build"),
    ("python -m build", "build"), ("docker build .", "build"), ("cmake --build out", "build"),
    ("ruff check .", "lint"), ("npx eslint src", "lint"), ("cargo clippy", "lint"), ("go vet ./...", "lint"),
    ("black --check .", "lint"), ("tox -e lint", "lint"), ("mypy src", "types"), ("npx tsc --noEmit", "types build"),
    ("scripts/check.sh", "test lint types"), ("set -o pipefail; pytest | tail -5", "test"),
    ("ls -la", ""), ("grep -rn pytest .", ""), ("cat test.py", ""), ("echo pytest", ""), ("pip install pytest", ""),
    ("npm install", ""), ("pytest --collect-only", ""), ("pytest --version", ""), ("ruff format .", ""), ("git status", ""),
    # another command hides the exit code
    ("pytest | tail -5", ""), ("pytest || true", ""), ("pytest; echo done", ""), ("pytest &", ""),
    ("if pytest; then echo ok; fi", ""), ("! pytest", ""), ("pytest\necho done", ""),
]  # fmt: skip


@pytest.mark.parametrize(("line", "kinds"), CHECKS)
def test_what_a_line_checks(line: str, kinds: str) -> None:
    found = {kind for part in parts(line) if part.speaks for kind in part.kinds} - {"run"}
    assert found == set(kinds.split())


CHANGES = [
    "sed -i s/a/b/ f", "mv a b", "rm -rf x", "git checkout -- a", "git stash", "git -C x apply p", "echo hi > a.txt",
    "echo hi >> a", "cat x | tee a.py", "ruff check --fix .", "ruff format", "black .", "cargo fmt", "prettier --write src",
    "cat > a.py <<'EOF'\nprint(1)\nEOF", "python - <<'EOF'\nopen('a', 'w').write('x')\nEOF", "patch -p1 < x.diff",
    "find . -name x -delete", "perl -pi -e s/a/b/ f", "bash -c 'rm x'", "cd a && cp b c", "gofmt -w .", "curl -o a http://x",
]  # fmt: skip
HARMLESS = [
    "pytest", "pytest 2>&1", "pytest > /dev/null", "pytest > out.log", "pytest | tee out.log", "git status", "git diff",
    "git stash list",
    "ls", "cat a", "sed -n 1,5p f", "black --check .", "ruff format --check", "cargo fmt --check", "python -c 'print(1)'",
    "grep -rn '>' .",
    "find . -name x", "echo 'a > b'", "make test", "echo x > /tmp/scratch", "2>/dev/null ls",
]  # fmt: skip


@pytest.mark.parametrize("line", CHANGES)
def test_what_changes_files(line: str) -> None:
    assert any(part.changes for part in parts(line))


@pytest.mark.parametrize("line", HARMLESS)
def test_what_changes_nothing(line: str) -> None:
    assert not any(part.changes for part in parts(line))


@given(st.text(st.sampled_from("pytest ;&|()<>'\"\n\\$`#=-/EOF"), max_size=60))
def test_no_line_breaks_it(line: str) -> None:
    for part in parts(line):
        assert part.text is not None
