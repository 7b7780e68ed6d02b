"""Terminals of the editor: only where no box is lost by it, and each command is shown once."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Message, call, text
from acp_schema import editing
from kimi_program import Program

NO_BOX = ("--yolo", "--no-sandbox", "--i-accept-no-sandbox")


class Terminals:
    """What an editor runs."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[subprocess.Popen[bytes], Any]] = {}
        self.asked: list[Message] = []
        self.released: list[str] = []

    def create(self, params: Message) -> Any:
        self.asked.append(params)
        output = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the terminal
        env = {**os.environ, **{pair["name"]: pair["value"] for pair in params["env"]}}
        command = [params["command"], *params["args"]]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=params["cwd"],
            env=env,
            start_new_session=True,
        )
        self.made[f"t{len(self.asked)}"] = (process, output)
        return {"terminalId": f"t{len(self.asked)}"}

    def output(self, params: Message) -> Any:
        output = self.made[params["terminalId"]][1]
        output.seek(0)
        return {"output": output.read().decode(), "truncated": False}

    def wait(self, params: Message) -> Any:
        code = self.made[params["terminalId"]][0].wait()
        return {"exitCode": code if code >= 0 else None, "signal": None if code >= 0 else "SIGKILL"}

    def kill(self, params: Message) -> Any:
        os.killpg(self.made[params["terminalId"]][0].pid, signal.SIGKILL)
        return {}

    def release(self, params: Message) -> Any:
        self.released.append(params["terminalId"])
        return {}

    def answers(self) -> dict[str, Any]:
        return {
            "terminal/create": self.create, "terminal/output": self.output, "terminal/wait_for_exit": self.wait,
            "terminal/kill": self.kill, "terminal/release": self.release,
        }  # fmt: skip


@pytest.fixture(scope="module")
def boxless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    with editing(Program(tmp_path_factory.mktemp("boxless")), *NO_BOX, capabilities={"terminal": True}) as editor:
        yield editor


@pytest.fixture
def terminals(boxless: Editor) -> Terminals:
    found = Terminals()
    boxless.answers |= found.answers()
    return found


def test_a_command_runs_there_and_is_seen_once(boxless: Editor, terminals: Terminals, work: Path) -> None:
    command = "cd sub && echo out && sleep 0.5 && echo more; exit 3"
    (work / "sub").mkdir()
    session = boxless.new(
        call("Shell", command=command), call("Shell", command="touch x; pwd"), text("Done."), cwd=str(work)
    )
    assert boxless.prompt(session) == {"stopReason": "end_turn"}
    card = boxless.card(session)
    assert card["content"] == [{"type": "terminal", "terminalId": "t1"}]
    assert card["rawOutput"]["exitCode"] == 3
    assert "out\nmore" in card["rawOutput"]["output"]
    assert terminals.asked[0]["cwd"] == str(work)
    assert terminals.released == ["t1", "t2"]
    assert str(work / "sub") in boxless.card(session, 1)["rawOutput"]["output"]
    shown = [
        part for update in boxless.updates(session) if "toolCallId" in update for part in update.get("content", ())
    ]
    assert {part["type"] for part in shown} == {"terminal"}


def test_a_cancelled_prompt_kills_it(boxless: Editor, terminals: Terminals, work: Path) -> None:
    session = boxless.new(call("Shell", command="touch begun; sleep 300"), text("Never."), cwd=str(work))
    request = boxless.begin_prompt(session)
    boxless.until((work / "begun").exists)
    boxless.notify("session/cancel", sessionId=session)
    assert boxless.result(request) == {"stopReason": "cancelled"}
    assert terminals.made["t1"][0].wait(5) == -signal.SIGKILL
    boxless.until(lambda: terminals.released == ["t1"])


def test_one_that_comes_after_the_cancellation_is_ended(boxless: Editor, terminals: Terminals, work: Path) -> None:
    gate = threading.Event()
    boxless.answers["terminal/create"] = lambda params: gate.wait(30) and terminals.create(params)
    session = boxless.new(call("Shell", command="touch begun; sleep 300"), text("Never."), cwd=str(work))
    place = len(boxless.asked("terminal/create"))
    request = boxless.begin_prompt(session)
    boxless.until(lambda: len(boxless.asked("terminal/create")) > place)
    boxless.notify("session/cancel", sessionId=session)
    assert boxless.result(request) == {"stopReason": "cancelled"}
    gate.set()
    boxless.until(lambda: terminals.released == ["t1"])
    assert terminals.made["t1"][0].wait(5) == -signal.SIGKILL


def test_an_editor_without_a_terminal_to_give_is_told(boxless: Editor, terminals: Terminals, work: Path) -> None:
    boxless.answers["terminal/create"] = lambda _: RuntimeError("none left")
    session = boxless.new(call("Shell", command="touch out"), text("Done."), cwd=str(work))
    boxless.prompt(session)
    assert "none left" in boxless.card(session)["rawOutput"]["output"]


def test_the_box_comes_first(tmp_path: Path, work: Path) -> None:
    editor = Editor(Program(tmp_path / "boxed"), "--yolo", capabilities={"terminal": True})
    session = editor.new(call("Shell", command="echo out"), text("Done."), cwd=str(work))
    editor.prompt(session)
    assert "out" in editor.card(session)["content"][0]["content"]["text"]
    assert editor.asked("terminal/create") == []
    assert editor.close() == 0
