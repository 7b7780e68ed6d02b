"""Claims are bound to the commands that show them: verified exactly when one passed after the last change."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from machine import House, ListProvider, call, calls, of, play, say

from kimi_agent.agent.evidence import Ledger, evidence
from kimi_agent.agent.transcript import EvidenceBlock, Transcript
from kimi_agent.core import event as ev
from kimi_agent.core.display import Diff, Plain, Terminal
from kimi_agent.core.effect import Effect
from kimi_agent.core.message import ToolCall
from kimi_agent.core.task import Task
from kimi_agent.tools.known_files import KnownFiles
from kimi_agent.tools.shell import Shell
from kimi_agent.tools.write_file import WriteFile


def ran(number: int, command: str, exit_code: int | None, output: str = "") -> list[ev.Event]:
    made = ToolCall(f"c{number}", "Shell", "{}")
    return [
        ev.ToolStarted(made, (Effect("run", command),)),
        ev.ToolFinished(made.id, Terminal(command, output, exit_code), exit_code != 0),
    ]


def edited(number: int, *, failed: bool = False) -> list[ev.Event]:
    made = ToolCall(f"c{number}", "WriteFile", "{}")
    return [
        ev.ToolStarted(made, (Effect("write", "/x"),)),
        ev.ToolFinished(made.id, None if failed else Diff("/x", "", 1, 0), failed),
    ]


def ledger(*events: Sequence[ev.Event]) -> Ledger:
    made = Ledger()
    for group in events:
        for event in group:
            made.apply(event)
    return made


def bound(made: Ledger, text: str = "All tests pass.") -> ev.Evidence:
    (found,) = evidence(made, text)
    return found


def test_a_check_after_the_last_edit_shows_the_claim() -> None:
    found = bound(ledger(edited(1), ran(2, "pytest -q", 0, "....\n12 passed in 0.1s\n")))
    assert found == ev.Evidence("tests pass", True, "pytest -q", "12 passed in 0.1s", 0)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([edited(1)], "no test ran after the last edit"),
        ([edited(1), ran(2, "ls", 0)], "no test ran after the last edit"),
        ([ran(1, "ls", 0)], "no test ran"),
        ([edited(1), ran(2, "pytest", 1, "2 failed")], "the last run of it failed"),
        ([ran(1, "pytest", 0), edited(2)], "it ran before the last edit"),
        ([ran(1, "pytest", 0), ran(2, "sed -i s/a/b/ f.py", 0)], "it ran before the last edit"),
        ([ran(1, "pytest && sed -i s/a/b/ f.py", 0)], "no test ran after the last edit"),
        ([edited(1), ran(2, "pytest", None)], "the last run of it did not come to its end"),
        ([edited(1), ran(2, "pytest || true", 0, "1 failed, 3 passed")], "its exit code was hidden by another command"),
        ([edited(1), ran(2, "pytest | tail -1", 0, "")], "its exit code was hidden by another command"),
        ([edited(1), ran(2, "pytest", 0), ran(3, "pytest", 1)], "the last run of it failed"),
        ([edited(1), ran(2, "npm test", 1, "1 failed"), ran(3, "pytest", 0, "3 passed")], "the last run of it failed"),
        (
            [edited(1), ran(2, "npm test -- --passWithNoTests", 0, "No tests found, exiting with code 0")],
            "it ran no tests",
        ),
        ([edited(1), ran(2, "true || pytest", 0)], "its exit code was hidden by another command"),
        ([edited(1), ran(2, "make -i test", 0)], "its exit code was hidden by another command"),
        ([ran(1, "pytest", 0), ran(2, "python: open('a.py', 'w')", 0)], "it ran before the last edit"),
    ],
)
def test_what_is_missing(events: list[list[ev.Event]], reason: str) -> None:
    found = bound(ledger(*events))
    assert (found.verified, found.reason) == (False, reason)


def test_what_does_not_spoil_a_check() -> None:
    checked = [edited(1), ran(2, "pytest", 0, "3 passed")]
    assert bound(ledger(*checked, edited(3, failed=True), ran(4, "git status && cat x > /dev/null", 0))).verified
    assert bound(ledger(*checked, ran(3, "ruff check . | tee lint.log", 0))).verified
    assert bound(ledger(edited(1), ran(2, "sed -i s/a/b/ f.py && pytest", 0))).verified


SHOW_NO_TESTS = [
    "test -f a", "npm ci", "make -n test", "make --just-print test", "pytest --fixtures", "pytest --setup-plan",
    "cargo test --no-run",
    "go test -c", "go test -list . ./...", "ctest -N", "tox -l", "vitest list", "jest --listTests",
    "playwright install",
    "command -v pytest", "which pytest", "docker build .", "make clean",
]  # fmt: skip


@pytest.mark.parametrize("command", SHOW_NO_TESTS)
def test_what_runs_no_test(command: str) -> None:
    assert bound(ledger(edited(1), ran(2, command, 0))).reason == "no test ran after the last edit"


RUN_TESTS = [
    "docker compose exec -T web pytest -q", "docker run --rm image python -m pytest", "sudo -u me pytest",
    "timeout -s KILL 60 pytest",
    "pytest -q || exit 1", "npm -w web test", "find . -name 'x*' | xargs pytest", "make -k test",
    "time -p pytest", "coverage run -m pytest", "python -m coverage run -m pytest", "bun run test", "deno test",
    "bin/rails test", "php artisan test",
]  # fmt: skip


@pytest.mark.parametrize("command", RUN_TESTS)
def test_what_runs_tests(command: str) -> None:
    assert bound(ledger(edited(1), ran(2, command, 0))).verified


CHANGES = [
    "make fmt", "npm run lint:fix", "npm install left-pad", "cargo add serde", "cargo fix", "go mod tidy",
    "go generate ./...",
    "uv add x", "pytest -q && rm a.py", "python manage.py makemigrations", "rm a.py /tmp/b", "mv a.py /tmp/b",
    "git checkout -- a.py", "xargs sed -i s/a/b/", "rustfmt a.rs", "cat > /srv/a.py",
    "python - <<'E'\nopen('a','w')\nE",
]  # fmt: skip
LOOKS = [
    "make fmt-check", "npm run format:check", "rustfmt --check a.rs", "mkdir -p /tmp/x && cp a /tmp/x && rm -rf /tmp/x",
    "rm -rf __pycache__ .pytest_cache", "python -c \"import sys; sys.stdout.write('a'.replace('a', 'b'))\"",
    "npm ci", "docker update x",
    "python: if a > b:\n    print(a)", "cargo test format", "pip install x", "xargs grep -n x",
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "stale"), [*((each, True) for each in CHANGES), *((each, False) for each in LOOKS)]
)
def test_what_changes_files(command: str, stale: bool) -> None:
    made = Ledger("/srv")
    for event in [*ran(1, "pytest", 0), *ran(2, command, 0), *ran(3, "ls", 0)]:
        made.apply(event)
    assert bound(made).reason == ("it ran before the last edit" if stale else "")


def test_files_elsewhere_are_none_of_the_project() -> None:
    made, call = Ledger("/tmp/project", ["/home/me/.kimi/plan.md"]), ToolCall("w", "WriteFile", "{}")

    def write(target: str) -> None:
        made.apply(ev.ToolStarted(call, (Effect("write", target),)))
        made.apply(ev.ToolFinished("w", Diff(target, "", 1, 0)))

    for event in ran(1, "pytest", 0):
        made.apply(event)
    write("/tmp/notes.md")
    write("/home/me/.kimi/plan.md")
    assert bound(made).verified
    for event in ran(2, "echo x > /tmp/project/a.py", 0):
        made.apply(event)
    assert not bound(made).verified


@pytest.mark.parametrize(
    "command", ["pytest tests/test_one.py", "pytest -k one", "pytest -q a.py::test_x", "npx jest src/a.spec.ts"]
)
def test_a_selection_is_called_one(command: str) -> None:
    assert bound(ledger(edited(1), ran(2, command, 0))).claim == "selected tests pass"


def test_another_programs_failure_spoils_only_all_tests() -> None:
    made = ledger(edited(1), ran(2, "npm test", 1, "1 failed"), ran(3, "pytest", 0))
    assert bound(made, "The Python tests pass.").verified
    assert bound(made, "All Python tests pass; two tests of the frontend fail.").verified
    assert not bound(made, "所有测试均通过。").verified


def test_an_output_speaks_only_of_what_it_is_about() -> None:
    made = ledger(edited(1), ran(2, "mypy .; ruff check .; pytest -q", 0, "Found 2 problems\n3 passed"))
    found = {each.claim: each.verified for each in evidence(made, "Tests, lint and types all pass.")}
    assert found == {"tests pass": True, "lint is clean": False, "types are clean": False}


def test_a_hidden_exit_code_counts_when_the_output_says_it() -> None:
    found = bound(ledger(edited(1), ran(2, "pytest -q 2>&1 | tail -3", 0, "12 passed in 1s")))
    assert (found.verified, found.exit_code, found.result) == (True, None, "12 passed in 1s")
    assert bound(ledger(edited(1), ran(2, "cargo test | tail", 0, "test result: ok. 8 passed; 0 failed"))).verified
    assert not bound(ledger(edited(1), ran(2, "bun test | tail", 0, " 5 pass\n 1 fail"))).verified


def test_subagents_count_for_changes_and_for_checks() -> None:
    inside = [ev.Nested("agent", event) for event in ran(1, "pytest", 0, "3 passed")]
    assert bound(ledger(edited(1), inside)).verified
    changed = [ev.Nested("agent", event) for event in edited(1)]
    assert not bound(ledger(ran(1, "pytest", 0), changed)).verified


def test_a_background_task_counts_when_it_has_ended(tmp_path: Path) -> None:
    output = tmp_path / "out.txt"
    output.write_text("....\n4 passed in 2s\n")
    made = ToolCall("c2", "Shell", "{}")

    def task(**more: Any) -> ev.TaskChanged:
        return ev.TaskChanged(Task("b1", "command", "pytest  # all of them", "c2", str(output), 1.0, **more))

    begun = [*edited(1), ev.ToolStarted(made, (Effect("run", "pytest"),)), task(), ev.ToolFinished("c2", Plain("b1"))]
    assert bound(ledger(begun)).reason == "it still runs"
    ended = bound(ledger(begun, [task(state="done", exit_code=0)]))
    assert (ended.verified, ended.result) == (True, "4 passed in 2s")
    assert not bound(ledger(begun, edited(3), [task(state="done", exit_code=0)])).verified
    assert not bound(ledger(begun, [task(state="stopped")])).verified


def test_a_command_that_a_crash_ended_runs_no_more() -> None:
    begun = ev.ToolStarted(ToolCall("c2", "Shell", "{}"), (Effect("run", "pytest"),))
    made = ledger(edited(1), [begun])
    assert bound(made).reason == "it still runs"
    made.apply(ev.Nested("agent", ev.TurnEnded("done")))
    assert bound(made).reason == "it still runs"
    made.apply(ev.TurnEnded("interrupted"))
    assert bound(made).reason == "the last run of it did not come to its end"


def test_talk_in_a_session_without_work_shows_nothing() -> None:
    assert evidence(Ledger(), "Tests pass, the build is green.") == []
    assert evidence(ledger(edited(1)), "Unit tests are worth their price.") == []
    assert not bound(Ledger(), "I ran the tests. All tests pass.").verified


def test_each_claim_has_its_own_command() -> None:
    made = ledger(edited(1), ran(2, "pytest", 0), ran(3, "ruff check .", 1, "Found 2 errors."), ran(4, "mypy", 0))
    found = {each.claim: each.verified for each in evidence(made, "Tests, lint and types all pass.")}
    assert found == {"tests pass": True, "lint is clean": False, "types are clean": True}


STEP = st.sampled_from(["edit", "sed", "pass", "fail", "look", "nested edit", "nested pass"])


@given(st.lists(STEP, max_size=12))
def test_verified_exactly_when_the_last_check_passed_after_the_last_change(steps: list[str]) -> None:
    made, expected, changed = Ledger(), False, False
    for number, step in enumerate(steps):
        kind = step.removeprefix("nested ")
        events = {
            "edit": edited(number), "sed": ran(number, "sed -i s/a/b/ x", 0), "pass": ran(number, "pytest", 0),
            "fail": ran(number, "pytest", 1), "look": ran(number, "ls", 0),
        }[kind]  # fmt: skip
        for event in events:
            made.apply(ev.Nested("agent", event) if step != kind else event)
        changed = changed or kind in ("edit", "sed")
        expected = {"pass": True, "look": expected}.get(kind, False)
    found = evidence(made, "All tests pass.")
    assert [each.verified for each in found] == ([expected] if steps else [])


# --- in a session -----------------------------------------------------------------------------------------------------


def shell(command: str) -> Any:
    return calls(call("Shell", json.dumps({"command": command}), f"s{abs(hash(command)) % 999}"))


def write(text: str) -> Any:
    return calls(call("WriteFile", json.dumps({"path": "a.py", "content": text}), f"w{len(text)}"))


def house(folder: Path, replies: Sequence[Any], mode: str = "mark") -> House:
    made = House(folder, ListProvider(replies), [Shell(), WriteFile(KnownFiles())])
    made.agent.evidence = mode  # type: ignore[assignment]
    script = folder / "work" / "test.sh"
    script.write_text("#!/bin/sh\necho 3 $1ed\n[ $1 = pass ]\n")
    script.chmod(0o755)
    return made


async def test_the_answer_carries_its_evidence(tmp_path: Path) -> None:
    replies = [write("x"), shell("./test.sh pass"), say("Done. All tests pass and lint is clean.")]
    session = house(tmp_path, replies).open()
    events = await play(session, "do it")
    tests, lint = of(events, ev.Evidence)
    assert (tests.verified, tests.command, tests.result, tests.exit_code) == (True, "./test.sh pass", "3 passed", 0)
    assert (lint.verified, lint.reason) == (False, "no linter ran after the last edit")
    assert isinstance(events[-1], ev.TurnEnded)
    live, replayed = Transcript(), Transcript()
    for event in events:
        live.apply(event)
    for event in session.events():
        replayed.apply(event)
    for transcript in (live, replayed):
        assert [block.evidence for block in transcript.blocks if isinstance(block, EvidenceBlock)] == [tests, lint]


async def test_without_a_claim_nothing_is_added(tmp_path: Path) -> None:
    session = house(tmp_path, [write("x"), say("I changed a.py. The tests should pass.")]).open()
    assert of(await play(session, "do it"), ev.Evidence) == []


async def test_off_shows_nothing(tmp_path: Path) -> None:
    session = house(tmp_path, [write("x"), say("All tests pass.")], "off").open()
    assert of(await play(session, "do it"), ev.Evidence) == []


async def test_ask_makes_the_model_run_the_check(tmp_path: Path) -> None:
    replies = [write("x"), say("All tests pass."), shell("./test.sh pass"), say("All tests pass.")]
    made = house(tmp_path, replies, "ask")
    (found,) = of(await play(made.open(), "do it"), ev.Evidence)
    assert found.verified
    asked = made.provider.requests[2].messages[-1]
    assert asked.origin == "agent"
    assert "- tests pass: no test ran after the last edit" in asked.text


async def test_ask_asks_once(tmp_path: Path) -> None:
    replies = [write("x"), say("All tests pass."), shell("./test.sh fail"), say("Still, all tests pass.")]
    (found,) = of(await play(house(tmp_path, replies, "ask").open(), "do it"), ev.Evidence)
    assert (found.verified, found.reason) == (False, "the last run of it failed")


async def test_what_a_resumed_session_knows(tmp_path: Path) -> None:
    made = house(tmp_path, [write("x"), shell("./test.sh pass"), say("ok"), say("All tests pass.")])
    session = made.open()
    await play(session, "do it")
    await session.aclose()
    (found,) = of(await play(made.open(session.id), "and?"), ev.Evidence)
    assert found.verified
