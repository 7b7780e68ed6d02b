"""A test run in the background wakes the idle agent, which mends the bug and is done, in every front end. Nothing is left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bugfix import ANSWER, call, is_mended, program, run_pytest, well_formed
from fake_api import FakeAPI
from kimi_program import Program
from nightly import all_but
from processes import living_with, wait_until_gone
from pty_screen import PtyScreen

KIMI = [sys.executable, "-m", "kimi_agent"]
ASKED = "Run the tests in the background and mend what fails."
RUNS = "The tests run; I go on when they are done."


def replies(**limit: int) -> list[list[dict[str, Any]]]:
    """The tests wait for the gate, so that they end when the test wants it."""
    edit = {"old": "discount / 10)", "new": "discount / 100)"}
    return [
        [call("ReadFile", path="shop.py"),
         call("Shell", command=f"cat ../gate; {run_pytest()}", description="the tests", run_in_background=True, **limit)],
        [{"expect": "Started as the background task b1"}, {"text": RUNS}],
        [{"expect": "[The background task b1 has ended: failed, exit code 1"}, call("StrReplaceFile", path="shop.py", edit=edit)],
        [{"expect": "shop.py"}, call("Shell", command=run_pytest())],
        [{"expect": "2 passed"}, {"text": ANSWER}],
    ]  # fmt: skip


def open_gate(kimi: Program) -> None:
    """Returns when the command waits at the gate."""
    (kimi.folder / "gate").write_text("")


def start(kimi: Program, *arguments: str) -> "subprocess.Popen[str]":
    os.mkfifo(kimi.folder / "gate")
    return subprocess.Popen(
        [*KIMI, "--yolo", *arguments],
        cwd=kimi.work,
        env=kimi.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def background(folder: Path, command: str, **limit: int) -> list[list[dict[str, Any]]]:
    """A model that starts the command, marked with the folder, and has no more to do; woken it says so."""
    started = call("Shell", command=f"export MARK={folder}; {command}", run_in_background=True, **limit)
    return [[started], [{"text": "It runs."}], [{"text": "It has ended."}]]


# --- headless ---------------------------------------------------------------------------------------------------------


def test_print_waits_for_what_has_a_limit_and_goes_on(tmp_path: Path):
    with FakeAPI(replies(timeout=120), strict=True) as api:
        kimi = program(tmp_path, api.url)
        child = start(kimi, "--output-format", "json", "--verbose", "-p", ASKED)
        open_gate(kimi)
        out, err = child.communicate(timeout=60)
    result = json.loads(out)
    assert (child.returncode, result["result"], result["turns"], result["steps"]) == (0, ANSWER, 2, 5), err
    assert "waiting for b1 (cat ../gate; " in err
    assert "Task b1 failed, exit code 1" in err
    assert is_mended(kimi.work)
    assert well_formed([r.json for r in api.requests])


def test_stream_json_has_the_tasks_and_ends_with_the_result(tmp_path: Path):
    with FakeAPI(background(tmp_path, "sleep 600"), strict=True) as api:
        kimi = program(tmp_path, api.url)
        child = start(kimi, "--output-format", "stream-json", "-p", "go")
        out, err = child.communicate(timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    states = [line["task"].get("state", "running") for line in lines if line["type"] == "task_changed"]
    assert states == ["running", "stopped"]
    assert (lines[-1]["type"], lines[-1]["result"]) == ("result", "It runs.")
    assert "ended with this run: b1 (export MARK=" in err, "a server has no limit: it is not waited for, and named"
    assert not living_with(f"MARK={kimi.folder}")


def test_ctrl_c_ends_the_waiting_and_the_answer_is_printed(tmp_path: Path):
    with FakeAPI(background(tmp_path, "sleep 600", timeout=900), strict=True) as api:
        kimi = program(tmp_path, api.url)
        child = start(kimi, "--verbose", "-p", "go")
        assert child.stderr is not None
        while "waiting for b1" not in child.stderr.readline():
            pass
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (0, "It runs.\n")
    assert "ended with this run: b1" in err
    assert not living_with(f"MARK={kimi.folder}")


def test_the_ceiling_ends_the_waiting(tmp_path: Path):
    with FakeAPI(background(tmp_path, "sleep 600", timeout=900), strict=True) as api:
        kimi = program(tmp_path, api.url)
        kimi.write_config(kimi.config.read_text() + "\n[background]\nprint_wait_ceiling_s = 0\n")
        child = start(kimi, "-p", "go")
        out, _ = child.communicate(timeout=60)
    assert (child.returncode, out) == (0, "It runs.\n")


def test_input_lines_an_idle_session_is_woken(tmp_path: Path):
    with FakeAPI(replies(), strict=True) as api:
        kimi = program(tmp_path, api.url)
        os.mkfifo(kimi.folder / "gate")
        formats = ["--input-format", "stream-json", "--output-format", "stream-json"]
        child = subprocess.Popen(
            [*KIMI, "--yolo", "--print", *formats],
            cwd=kimi.work,
            env=kimi.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"type": "user", "text": ASKED}) + "\n")
        child.stdin.flush()
        while '"turn_ended"' not in child.stdout.readline():
            pass
        open_gate(kimi)  # idle now, its input open
        while '"turn_ended"' not in child.stdout.readline():
            pass
        out, _ = child.communicate(timeout=60)
    assert json.loads(out.splitlines()[-1])["result"] == ANSWER
    assert is_mended(kimi.work)


def send(screen: PtyScreen, text: str) -> None:
    """Keys that come all at once are a paste: Enter is pressed when the text is there."""
    screen.type(text)
    screen.wait_for(text[-12:])
    screen.type("\r")


# --- the shells -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_an_idle_shell_is_woken_and_what_is_being_typed_stays(tmp_path: Path, mode: str):
    with FakeAPI(replies(), strict=True) as api:
        kimi = program(tmp_path, api.url)
        os.mkfifo(kimi.folder / "gate")
        argv = [*KIMI, "--yolo", *(["--line"] if mode == "line" else [])]
        with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=110, lines=40) as screen:
            screen.wait_for("\n>" if mode == "line" else "❯")
            send(screen, ASKED)
            screen.wait_for(RUNS)
            screen.wait_for("1 task")
            screen.type("half a thou")
            screen.wait_for("half a thou")
            open_gate(kimi)
            screen.wait_for("Task b1 failed, exit code 1: cat ../gate;")
            screen.wait_for("Both tests pass.")
            screen.wait_gone("1 task")
            screen.type("ght")
            screen.wait_for("half a thought")
            screen.type("\x15" if mode == "line" else "\x03")
            screen.wait_gone("half a thought")
            send(screen, "/exit")
            assert screen.wait_end() == 0
    assert is_mended(kimi.work)
    assert well_formed([r.json for r in api.requests])


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_tasks_can_be_looked_at_and_stopped_and_a_new_session_asks(tmp_path: Path, mode: str):
    with FakeAPI(background(tmp_path, "echo listening; sleep 600"), strict=True) as api:
        kimi = program(tmp_path, api.url)
        argv = [*KIMI, "--yolo", *(["--line"] if mode == "line" else [])]
        with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=110, lines=40) as screen:
            screen.wait_for("\n>" if mode == "line" else "❯")
            send(screen, "go")
            screen.wait_for("It runs.")
            if mode == "line":
                while not screen.sees("  listening", within=0.2):
                    screen.type("/tasks\r")
                screen.wait_for("running for")
            else:
                send(screen, "/tasks")
                screen.wait_for("│ listening")
                screen.type("\x1b")
                screen.wait_gone("Background tasks")
            send(screen, "/new")
            screen.wait_for("1 background task of this session would end")
            question = "Which?" if mode == "line" else "would end"
            screen.wait_for(question)
            screen.type("2\r" if mode == "line" else "\x1b[B\r")
            screen.wait_gone(question)
            assert living_with(f"MARK={kimi.folder}")
            send(screen, "/tasks stop b1")
            screen.wait_for("Task b1 stopped")
            wait_until_gone(f"MARK={kimi.folder}")
            send(screen, "/exit")
            assert screen.wait_end() == 0
    assert len(api.requests) == 2, "the person has stopped it: nobody is woken"


# --- nothing is left --------------------------------------------------------------------------------------------------


def until_begun(kimi: Program, screen: PtyScreen) -> None:
    """The command runs, and so does all that it leaves running: the mark is in what bash has started, not in bash."""
    while not (kimi.work / "begun").exists() or not living_with(f"MARK={kimi.folder}"):
        assert screen.child.poll() is None, screen.text
        screen.sees("never", within=0.02)


@pytest.mark.parametrize(
    "number",
    all_but(
        [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
    ),
    ids=lambda n: n.name,
)
@pytest.mark.parametrize("mode", ["print", "tui", "line"])
def test_no_end_of_kimi_leaves_a_task(tmp_path: Path, mode: str, number: signal.Signals):
    if mode != "print" and number == signal.SIGINT:
        pytest.skip("Ctrl-C is a key there")
    left = "(setsid nohup sleep 600 >/dev/null 2>&1 &); touch begun; sleep 600"
    with FakeAPI(background(tmp_path, left, timeout=900), strict=True) as api:
        kimi = program(tmp_path, api.url)
        argv = {"print": ["-p", "go"], "tui": ["go"], "line": ["--line", "go"]}[mode]
        with PtyScreen([*KIMI, "--yolo", *argv], env=kimi.environment(), cwd=kimi.work) as screen:
            until_begun(kimi, screen)
            screen.child.send_signal(number)
            while number == signal.SIGINT and not screen.sees("never", within=0.1) and screen.child.poll() is None:
                screen.child.send_signal(number)  # the first one may only interrupt the turn, or the waiting
            screen.wait_end()
            wait_until_gone(f"MARK={kimi.folder}")


def test_a_session_taken_up_after_kill_9_knows_what_was_lost(tmp_path: Path):
    with FakeAPI(background(tmp_path, "touch begun; sleep 600"), strict=True) as api:
        kimi = program(tmp_path, api.url)
        with PtyScreen([*KIMI, "--yolo", "--line", "go"], env=kimi.environment(), cwd=kimi.work) as screen:
            until_begun(kimi, screen)
            screen.wait_for("It runs.")
            screen.child.send_signal(signal.SIGKILL)
            screen.child.wait(20)
        done = kimi.run("-C", "-p", "how is it?")
        assert done.returncode == 0, done.stderr
        sent = "\n".join(str(message.get("content")) for message in api.requests[-1].json["messages"])
    assert "The background task b1 has ended: lost" in sent
