"""Plan mode in the real program: the plan is read in full, approved, revised or rejected, in every front end."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bugfix import ANSWER, call, is_mended, program, well_formed
from fake_api import FakeAPI
from kimi_program import Program
from pty_screen import PtyScreen

KIMI = [sys.executable, "-m", "kimi_agent"]
GUARD = 0.35  # the panel ignores keys for its first 0.3 s, on purpose: no answer can come sooner
PLAN = "# Mend the discount\n\n" + "\n".join(f"{n}. step number {n}" for n in range(1, 31)) + "\n\nThe very end."
EDIT = {"old": "discount / 10)", "new": "discount / 100)"}
OPTIONS = [{"label": "Minimal", "description": "one line"}, {"label": "Thorough", "description": "with limits"}]


def planning(plan: str = PLAN, **more: Any) -> list[dict[str, Any]]:
    return [{"text": "I plan."}, call("ExitPlanMode", plan=plan, **more)]


def carried_out() -> list[list[dict[str, Any]]]:
    return [
        [
            {"expect": "Plan mode is off"},
            call("ReadFile", path="shop.py"),
            call("StrReplaceFile", path="shop.py", edit=EDIT),
        ],
        [{"expect": "shop.py"}, {"text": ANSWER}],
    ]


def shells(kimi: Program, mode: str, *arguments: str) -> PtyScreen:
    argv = [*KIMI, *(["--line"] if mode == "line" else []), *arguments]
    return PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=90, lines=24)


def told_mode(body: Any) -> str:
    told = [str(message.get("content")) for message in body["messages"]]
    return next((text for text in reversed(told) if "[Plan mode is" in text), "")


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_a_plan_is_read_in_full_and_approved_with_an_option(tmp_path: Path, mode: str):
    replies = [
        [call("WriteFile", path="shop.py", content="no")],
        [{"expect": "Not allowed: Plan mode is on"}, *planning(options=OPTIONS)],
        *carried_out(),
    ]
    with FakeAPI(replies, strict=True) as api:
        kimi = program(tmp_path, api.url)
        with shells(kimi, mode, "--plan", "Plan it first.") as screen:
            if mode == "tui":
                screen.wait_for("Carry out this plan?")
                screen.wait_for("1. step number 1")
                assert "The very end." not in screen.visible, "80x24: it does not fit, and is not cut either"
                time.sleep(GUARD)
                screen.type("\x1b[6~\x1b[6~\x1b[6~")
                screen.wait_until(lambda: "The very end." in screen.visible)
                screen.type("2")
                screen.wait_for("Yes, this once")
                time.sleep(GUARD)
                screen.type("1")
            else:
                screen.wait_for("Answer (1-3")
                assert all(f"{n} step number {n}" in screen.text.replace(".", "") for n in range(1, 31))
                screen.answer("2\r")
                screen.wait_for("Allow? (1")
                screen.answer("1\r")
            screen.wait_for("Both tests pass.")
            assert "plan" not in screen.visible.splitlines()[-1]
            screen.type("/exit\r")
            assert screen.wait_end() == 0
    assert is_mended(kimi.work)
    assert well_formed([r.json for r in api.requests])
    assert "approved the plan, with the option 'Thorough'" in str(api.requests[-1].json["messages"])
    assert "[Plan mode is on" in told_mode(api.requests[0].json)
    assert "[Plan mode is off" in told_mode(api.requests[-1].json)


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_the_model_enters_plan_mode_and_revises_until_it_is_rejected(tmp_path: Path, mode: str):
    replies = [
        [call("EnterPlanMode")],
        [{"expect": "Plan mode is on"}, *planning("First plan")],
        [{"expect": "The user wants changes: use Decimal"}, *planning("Second plan")],
        [{"expect": "The user rejected the plan"}, {"text": "What do you want instead?"}],
    ]
    with FakeAPI(replies, strict=True) as api:
        kimi = program(tmp_path, api.url)
        with shells(kimi, mode, "Do something large.") as screen:
            screen.wait_for("First plan")
            if mode == "tui":
                screen.wait_for("Something else")
                time.sleep(GUARD)
                screen.type("3")
                screen.wait_for("Your answer ·")
                screen.type("use Decimal\r")
                screen.wait_until(lambda: "Second plan" in screen.visible and "Carry out" in screen.visible)
                time.sleep(GUARD)
                screen.type("2")
            else:
                screen.wait_for("Answer (1-2")
                screen.answer("use Decimal\r")
                screen.wait_for("Second plan")
                screen.wait_until(lambda: "Answer (1-2" in screen.visible)
                screen.answer("2\r")
            screen.wait_for("What do you want instead?")
            screen.wait_until(lambda: "plan" in screen.visible.splitlines()[-1 if mode == "tui" else -2])
            screen.type("/exit\r")
            assert screen.wait_end() == 0
    assert "[Plan mode is on" in told_mode(api.requests[-1].json)


def client(kimi: Program, *arguments: str) -> "subprocess.Popen[str]":
    formats = ["--print", "--input-format", "stream-json", "--output-format", "stream-json"]
    argv = [*KIMI, *formats, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, cwd=kimi.work, env=kimi.environment(), stdin=pipe, stdout=pipe, text=True)


def test_a_program_reviews_the_plan(tmp_path: Path):
    with FakeAPI([planning("First plan"), planning(), *carried_out()], strict=True) as api:
        kimi = program(tmp_path, api.url)
        child = client(kimi, "--plan")
        assert child.stdin is not None
        assert child.stdout is not None

        def send(**line: Any) -> None:
            print(json.dumps(line), file=child.stdin, flush=True)

        def receive(kind: str) -> dict[str, Any]:
            while (line := json.loads(child.stdout.readline()))["type"] != kind:
                pass
            return line

        send(type="user", text="Plan it first.")
        asked = receive("question")
        assert asked["question"]["text"] == "First plan"
        send(type="answer", id=asked["id"], values=[["more steps"]])
        asked = receive("question")
        assert asked["question"]["text"] == PLAN
        labels = [option["label"] for option in asked["question"]["items"][0]["options"]]
        assert labels == ["Approve", "Reject"]
        send(type="answer", id=asked["id"], values=[["Approve"]])
        asked = receive("question")
        assert asked["question"]["type"] == "permission"
        send(type="answer", id=asked["id"], allow="once")
        child.stdin.close()
        assert receive("result")["result"] == ANSWER
        assert child.wait(20) == 0
    assert is_mended(kimi.work)


def test_with_nobody_there_the_plan_is_the_result(tmp_path: Path):
    replies = [planning(), [{"expect": "not approved"}, {"text": "This is my plan."}]]
    with FakeAPI(replies, strict=True) as api:
        kimi = program(tmp_path, api.url)
        done = kimi.run("--plan", "-p", "Plan it.")
    assert (done.returncode, done.stdout) == (0, "This is my plan.\n"), done.stderr
    assert [file.read_text() for file in kimi.home.glob("**/*.md") if file.read_text() == PLAN], "it is kept"
    assert not is_mended(kimi.work)


@pytest.mark.parametrize("flag", ["--yolo", "--afk"])
def test_a_plan_comes_first_also_where_nothing_is_asked(tmp_path: Path, flag: str):
    """Without a person, only --afk approves by itself; the mode after the plan is the one asked for."""
    refused = [{"expect": "Not allowed: Plan mode is on"}, *planning()]
    answer = [[{"expect": "not approved"}, {"text": "This is my plan."}]]
    replies = [
        [call("WriteFile", path="shop.py", content="no")],
        refused,
        *(carried_out() if flag == "--afk" else answer),
    ]
    with FakeAPI(replies, strict=True) as api:
        kimi = program(tmp_path, api.url)
        done = kimi.run("--plan", flag, "-p", "Plan it.")
    assert done.returncode == 0, done.stderr
    assert is_mended(kimi.work) == (flag == "--afk")
