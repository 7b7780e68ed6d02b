"""Goals and evidence with the real program, over real HTTP, against a server that refuses what Moonshot refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeAPI
from kimi_program import Program

CLAIM = "Done. All tests pass and lint is clean."


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    program = Program(tmp_path)
    script = program.work / "test.sh"
    script.write_text("#!/bin/sh\necho running\ntest -e a -a -e b && echo 2 passed\n")
    script.chmod(0o755)
    return program


def write(path: str) -> list[dict[str, Any]]:
    return [{"call": {"name": "WriteFile", "arguments": {"path": path, "content": "x"}}}]


def shell(command: str) -> list[dict[str, Any]]:
    return [{"call": {"name": "Shell", "arguments": {"command": command}}}]


def say(text: str) -> list[dict[str, Any]]:
    return [{"text": text}]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_check_that_fails_twice_and_then_passes(kimi: Program) -> None:
    replies = [say("Ready."), write("a"), say("Ready now."), write("b"), say("Now it is.")]
    with FakeAPI(replies, strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-y", "-p", '/goal --check "./test.sh" both files are there', "--output-format", "stream-json")
    assert done.returncode == 0
    lines = records(done.stdout)
    goals = [line["goal"] for line in lines if line["type"] == "goal_changed"]
    assert [(goal.get("state", "active"), goal.get("round", 1)) for goal in goals] == [
        ("active", 1),
        ("active", 2),
        ("active", 3),
        ("reached", 3),
    ]
    assert sum(line["type"] == "tool_started" and "goal-check" in line["call"]["id"] for line in lines) == 3
    assert (lines[-1]["result"], lines[-1]["goal"]["state"]) == ("Now it is.", "reached")
    told = str(api.requests[1].json["messages"][-2:])
    assert "running" in told
    assert "Round 2 of 25" in told


def test_a_goal_that_is_not_reached(kimi: Program) -> None:
    with FakeAPI([say("Ready."), say("Ready.")], strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-p", '/goal --turns 2 --check "./test.sh" x')
    assert (done.returncode, done.stdout) == (6, "Ready.\n")
    assert "goal 2/2 spent: `./test.sh`: exit code 1\n" in done.stderr


def test_a_goal_that_is_blocked(kimi: Program) -> None:
    with FakeAPI([say("GOAL BLOCKED: no network")], strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "/goal x", "--output-format", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["exit_code"]) == (6, 6)
    assert (result["goal"]["state"], result["goal"]["told"]) == ("blocked", "no network")


def test_other_failures_keep_their_codes(kimi: Program) -> None:
    with FakeAPI([[{"error": {"status": 401, "message": "no"}}]]) as api:
        kimi.use(api.url)
        assert kimi.run("-p", "/goal x").returncode == 7
        assert kimi.run("-p", "/goal --turns none x").returncode == 2


def test_the_loop_of_kimi_cli(kimi: Program) -> None:
    with FakeAPI([say("a"), say("b <choice>STOP</choice>")], strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "mend it", "--max-ralph-iterations", "5")
    assert (done.returncode, len(api.requests)) == (0, 2)


@pytest.mark.parametrize("form", ["text", "json", "stream-json"])
def test_claims_are_marked_in_every_form(kimi: Program, form: str) -> None:
    with FakeAPI([write("a"), write("b"), shell("./test.sh"), say(CLAIM)], strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-y", "-p", "do it", "--output-format", form)
    assert done.returncode == 0
    unverified = "⚠ unverified: lint is clean: no linter ran after the last edit"
    assert done.stderr == f"{unverified}\n"
    if form == "text":
        assert done.stdout == f"{CLAIM}\n"
        return
    lines = records(done.stdout)
    tests = {"claim": "tests pass", "verified": True, "command": "./test.sh", "result": "2 passed", "exit_code": 0}
    lint = {"claim": "lint is clean", "verified": False, "reason": "no linter ran after the last edit"}
    expected = [{"type": "evidence", **tests}, {"type": "evidence", **lint}]
    assert lines[-1]["evidence"] == expected
    if form == "stream-json":
        assert [line for line in lines if line["type"] == "evidence"] == expected


def test_verified_claims_are_told_with_progress(kimi: Program) -> None:
    with FakeAPI([write("a"), write("b"), shell("./test.sh"), say("All tests pass.")], strict=True) as api:
        kimi.use(api.url)
        done = kimi.run("-y", "-p", "do it", "--verbose")
    assert "✓ tests pass: `./test.sh` → exit 0, 2 passed\n" in done.stderr


def test_the_configuration_makes_it_ask(kimi: Program) -> None:
    with FakeAPI([write("a"), say("All tests pass."), say("I did not run them.")], strict=True) as api:
        kimi.use(api.url)
        kimi.config.write_text(kimi.config.read_text() + '\n[loop_control]\nevidence = "ask"\n')
        done = kimi.run("-y", "-p", "do it")
    assert (done.stdout, done.stderr) == ("I did not run them.\n", "")


def test_an_export_shows_it(kimi: Program) -> None:
    with FakeAPI([write("a"), write("b"), shell("./test.sh"), say(CLAIM)], strict=True) as api:
        kimi.use(api.url)
        session = json.loads(kimi.run("-y", "-p", "do it", "--output-format", "json").stdout)["session_id"]
    for form in ("md", "html"):
        kimi.run("export", session, "-o", f"out.{form}")
        text = (kimi.work / f"out.{form}").read_text()
        assert "✓ tests pass: `./test.sh` → exit 0, 2 passed" in text
        assert "⚠ unverified: lint is clean" in text
