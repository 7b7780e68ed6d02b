"""Lines that hide a check's exit code: what another command prints is no proof, and a failure that is printed always wins."""

from collections.abc import Sequence

import pytest

from kimi_agent.agent.evidence import Ledger, evidence
from kimi_agent.core import event as ev
from kimi_agent.core.display import Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall

ANSWER = "All tests pass. The build works. Lint is clean."
ROOT = "/srv/project"


def after(lines: Sequence[tuple[str, str]]) -> Ledger:
    """What is known after these commands, each with what it printed and with exit code 0."""
    made = Ledger(ROOT)
    made.apply(ev.TurnStarted(1))
    for number, (line, output) in enumerate(lines):
        made.apply(ev.ToolStarted(ToolCall(f"c{number}", "Shell", "{}"), (Effect("run", line),)))
        made.apply(ev.ToolFinished(f"c{number}", Terminal(line, output, 0)))
    return made


def verified(line: str, output: str) -> set[str]:
    return {found.claim for found in evidence(after([(line, output)]), ANSWER) if found.verified}


BAD, OK = "python3 -m pytest -q t_bad.py", "python3 -m pytest -q t_ok.py"
PROVES_NOTHING = [
    (f"{BAD} >/dev/null 2>&1; echo ok", "ok"),
    (f"{BAD} & {OK}", "1 failed in 0.1s\n1 passed in 0.1s"),
    (f"{BAD} & {OK}", "1 passed in 0.1s"),
    (f"{BAD}; {OK}", "1 failed in 0.1s\n1 passed in 0.1s"),
    (f"{BAD} >/dev/null; {OK}", "1 passed in 0.1s"),
    (f"{OK} | tail -1; {OK} | tail -1", "1 passed in 0.1s"),
    (f"{BAD} | tail -0 || {OK} | tail -1", "1 passed in 0.1s"),
    ("go test ./... 2>/dev/null; echo ok", "ok"),
    ("go test ./... | grep ok", "ok  \tpkg/a\t0.1s"),
    ("make test 2>/dev/null; echo PASS", "PASS"),
    ("python3 -m unittest t_bad 2>/dev/null; echo OK", "OK"),
    ("npm test 2>/dev/null; echo ok", "ok"),
    ("npm test 2>/dev/null\nprintf 'ok\\n'", "ok"),
    ("cargo test 2>/dev/null || echo 'test result: ok. 5 passed'", "test result: ok. 5 passed"),
    (f"{BAD} >/dev/null; echo '3 passed'", "3 passed"),
    (f"echo '3 passed'; {BAD} | tail -0", "3 passed"),
    (f"sh -c \"{BAD} >/dev/null; echo '3 passed'\"", "3 passed"),
    (f"sh -c \"echo '3 passed'; {BAD}\" | head -1", "3 passed"),
    (f"({BAD}; echo '3 passed') | tail -1", "3 passed"),
    (f"{BAD} >/dev/null; cat old.log", "3 passed"),
    (f"{BAD} >> out.log; tail -1 out.log", "3 passed"),
    (f"{BAD} | sed 's/failed/passed/'", "1 passed"),
    (f"{BAD} >/dev/null; python3 -c 'print(\"3 passed\")'", "3 passed"),
    (f"trap 'exit 0' EXIT; {BAD} >/dev/null", ""),
    (f"echo $({BAD} >/dev/null)", ""),
    (f"if {BAD}; then echo '3 passed'; fi", "3 passed"),
    (f"{BAD} || true", "1 failed, 3 passed"),
    ("./run_tests.sh", "1 failed, 3 passed"),
    (f"{BAD} >/dev/null | tail -1 old.log", "3 passed"),
    (f"{BAD} | cat <<< '3 passed'", "3 passed"),
    (f"{BAD} > out.log; cat old.log out.log", "3 passed"),
    (f"set -e; set +e; {BAD} >/dev/null; true", ""),
    (f"{BAD} >/dev/null || exit $((0))", ""),
    (f"exit 0; {BAD}", ""),
    (f"exec true; {BAD}", ""),
    ("make -ki test", ""),
    ("npm test --if-present", ""),
    ("bash -n test.sh", ""),
    ("make build; echo ok", "ok"),
    ("make build 2>/dev/null; echo 'BUILD SUCCESSFUL'", "BUILD SUCCESSFUL"),
    ("make -n build", "cc -c a.c"),
    ("make --dry-run build", "cc -c a.c"),
    ("ruff check . ; echo 'All checks passed!'", "All checks passed!"),
    ("ruff check . >/dev/null || echo 'All checks passed!'", "All checks passed!"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "output"), PROVES_NOTHING)
def test_what_another_command_says_proves_nothing(line: str, output: str) -> None:
    assert verified(line, output) == set()


PROVES = [
    ("pytest -q 2>&1 | tail -3", "3 passed in 1s", "tests pass"),
    ("cd a && pytest -q | tee out.log | tail -3", "3 passed in 1s", "tests pass"),
    ("pytest > out.log 2>&1; tail -3 out.log", "3 passed in 1s", "tests pass"),
    ("pytest -q | grep -E 'passed|failed'", "3 passed in 1s", "tests pass"),
    ("pytest -q | grep -v Warning | sed 's/\\x1b//'", "3 passed in 1s", "tests pass"),
    ("pytest -q || true", "3 passed in 1s", "tests pass"),
    ("cd a || exit; pytest -q 2>/dev/null | tail -n 5 2>&1", "3 passed in 1s", "tests pass"),
    ("pytest -q | tee out.log >/dev/null; grep -E 'passed|failed' out.log", "3 passed", "tests pass"),
    ("sh -c 'cd a; pytest -q' | tail -1", "3 passed in 1s", "tests pass"),
    ("ruff check . && pytest -q | tail -1", "All checks passed!\n3 passed", "tests pass, lint is clean"),
    ("pytest -q && echo ok", "3 passed\nok", "tests pass"),
    ("ruff check . | cat", "All checks passed!", "lint is clean"),
    ("make build", "gcc a.c", "the build works"),
    ("npm test", "console.error Error: expected\n3 passed", "tests pass"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "output", "claims"), PROVES)
def test_what_a_check_itself_says_counts(line: str, output: str, claims: str) -> None:
    assert verified(line, output) == set(claims.split(", "))


WORK = "I fixed it. The build works and all tests pass; lint is clean."


def reading() -> Ledger:
    made = Ledger(ROOT)
    made.apply(ev.TurnStarted(1))
    made.apply(ev.ToolStarted(ToolCall("r", "ReadFile", "{}"), (Effect("read", f"{ROOT}/a.py"),)))
    made.apply(ev.ToolFinished("r"))
    return made


@pytest.mark.parametrize(
    "text", [WORK, "Fixed. All tests pass.", "Done: all tests pass.", "我已修复。所有测试均通过。"]
)
def test_work_that_was_only_said_is_marked_after_any_call(text: str) -> None:
    found = evidence(reading(), text)
    assert found
    assert not any(each.verified for each in found)


def test_talk_about_a_project_stays_unmarked() -> None:
    assert evidence(Ledger(ROOT), WORK) == []
    assert evidence(reading(), "The project looks fine: its build works and all tests pass.") == []
    later = reading()
    later.apply(ev.TurnStarted(2))
    assert evidence(later, WORK) == []


CELLS = [
    "open('a.py', 'w').write('x')", "with open(os.path.join(a, 'b.py'), 'wt') as f:\n    f.write('x')",
    "Path('a.py').write_text('x')", "Path('a.py').open(mode='a')", "%%writefile a.py\nx = 1", "x = 1\n!sed -i s/a/b/ a.py",
]  # fmt: skip
LOOKING = ["print(open('a.py').read(), 'a')", "open('a.py', 'r', encoding='utf-8').read()", "!ls -la", "x = 'write'"]


@pytest.mark.parametrize(("cell", "fresh"), [*((cell, False) for cell in CELLS), *((cell, True) for cell in LOOKING)])
def test_a_cell_that_writes_files_is_a_change(cell: str, fresh: bool) -> None:
    made = after([("pytest -q", "3 passed"), (f"python: {cell}", "")])
    (found,) = evidence(made, "All tests pass.")
    assert (found.verified, found.reason) == (fresh, "" if fresh else "it ran before the last edit")
