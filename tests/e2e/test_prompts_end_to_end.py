"""What a prompt can be besides a task, in the real program: a flow, mentions, a side question; and the hooks of subagents."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from bugfix import call, program, well_formed
from fake_api import FakeAPI
from kimi_program import Program
from pty_screen import PtyScreen

KIMI = [sys.executable, "-m", "kimi_agent"]
FLOW = """---
name: mend
description: mend tests until they are green
type: flow
---

~~~mermaid
flowchart TD
  A([BEGIN]) --> fix["Mend the first failing test in $ARGUMENTS."]
  fix --> ok{"Run all tests. Are they green?"}
  ok -->|yes| Z([END])
  ok -->|no| fix
~~~
"""
every_mode = pytest.mark.parametrize("mode", ["print", "tui", "line"])


def texts(body: Any) -> list[str]:
    """The user's texts of a request."""
    return [str(message["content"]) for message in body["messages"] if message["role"] == "user"]


def converse(kimi: Program, mode: str, prompt: str, *seen: str) -> str:
    """Type a prompt and wait until all of `seen` is on the screen; answers what was printed."""
    if mode == "print":
        done = kimi.run("--trust", "--yolo", "--output-format", "json", "-p", prompt)
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)["result"])
    argv = [*KIMI, "--trust", "--yolo", *(["--line"] if mode == "line" else [])]
    with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=100, lines=30) as screen:
        screen.wait_for("\n>" if mode == "line" else "❯")
        screen.type(prompt)
        screen.wait_for(prompt[-10:])
        screen.type(" \r")
        for text in seen:
            screen.wait_for(text)
        screen.type("/exit\r")
        assert screen.wait_end() == 0
        return screen.text


@every_mode
def test_a_flow_is_walked_to_its_end(tmp_path: Path, mode: str):
    replies = [
        [{"text": "The first one is mended."}],
        [{"expect": "Are they green?"}, {"text": "One is red. <choice>no</choice>"}],
        [{"expect": "Mend the first failing test in shop."}, {"text": "The second one is mended."}],
        [{"expect": "Are they green?"}, {"text": "All green now. <choice>yes</choice>"}],
    ]
    with FakeAPI(replies, strict=True) as api:
        kimi = program(tmp_path, api.url)
        folder = kimi.work / ".kimi" / "skills" / "mend"
        folder.mkdir(parents=True)
        (folder / "SKILL.md").write_text(FLOW)
        said = converse(kimi, mode, "/flow:mend shop", "The second one is mended.", "All green now.")
        assert "All green now." in said
    assert len(api.requests) == 4
    assert "Mend the first failing test in shop." in texts(api.requests[0].json)[-1]


@every_mode
def test_mentions_are_attached(tmp_path: Path, mode: str):
    with FakeAPI([[{"text": "I have read them all."}]], routes={"/page": "Opening hours: 9 to 5."}) as api:
        kimi = program(tmp_path, api.url)
        kimi.write_config(kimi.config.read_text() + "\n[network]\nallow_private = true\n")
        (kimi.work / "docs").mkdir()
        (kimi.work / "docs" / "guide.md").write_text("Read me first.\n")
        page = api.url.replace("/v1", "/page")
        converse(kimi, mode, f"Look at @shop.py and @docs/ and @{page} please", "I have read them all.")
    sent = json.dumps(api.requests[0].json["messages"])
    assert "Sum of prices, less a discount in percent." in sent
    assert "guide.md" in sent
    assert "Opening hours: 9 to 5." in sent


@pytest.mark.parametrize("mode", ["tui", "line"])
def test_a_side_question_is_answered_while_a_turn_runs(tmp_path: Path, mode: str):
    def reply(body: Any) -> list[dict[str, Any]]:
        if "side question" in texts(body)[-1]:
            return [{"text": "It is in shop.py."}]
        if not any(message["role"] == "tool" for message in body["messages"]):
            return [call("Shell", command="cat ../gate")]
        return [{"text": "The work is done."}]

    with FakeAPI(reply, strict=True) as api:
        kimi = program(tmp_path, api.url)
        gate = kimi.folder / "gate"
        os.mkfifo(gate)
        argv = [*KIMI, "--trust", "--yolo", *(["--line"] if mode == "line" else []), "Work."]
        with PtyScreen(argv, env=kimi.environment(), cwd=kimi.work, columns=100, lines=30) as screen:
            screen.wait_for("cat ../gate")
            screen.type("/btw where is the total?")
            screen.wait_for("where is the total?")
            screen.type("\r")
            screen.wait_for("It is in shop.py.")
            assert "The work is done." not in screen.text
            gate.write_text("open\n")
            screen.wait_for("The work is done.")
            screen.type("/exit\r")
            assert screen.wait_end() == 0
    assert well_formed([r.json for r in api.requests])
    assert not any("side question" in text for text in texts(api.requests[-1].json)), "it leaves no trace"


def test_hooks_are_told_of_subagents(tmp_path: Path):
    def reply(body: Any) -> list[dict[str, Any]]:
        if any("Look at the shop." in text for text in texts(body)):
            return [{"text": "It sells things."}]
        if not any(message["role"] == "tool" for message in body["messages"]):
            return [call("Agent", description="look around", prompt="Look at the shop.", subagent_type="explore")]
        return [{"text": "Done."}]

    with FakeAPI(reply, strict=True) as api:
        kimi = program(tmp_path, api.url)
        hooks = "".join(
            f'\n[[hooks]]\nevent = "{event}"\nmatcher = "{matcher}"\ncommand = "cat >> {event}-{matcher}.jsonl"\n'
            for event in ("SubagentStart", "SubagentStop")
            for matcher in ("explore", "coder")
        )
        kimi.write_config(kimi.config.read_text() + hooks)
        done = kimi.run("-p", "Let somebody look.")
    assert (done.returncode, done.stdout) == (0, "Done.\n"), done.stderr
    started, stopped = (
        json.loads((kimi.work / f"Subagent{word}-explore.jsonl").read_text()) for word in ("Start", "Stop")
    )
    assert (started["agent_name"], started["prompt"]) == ("explore", "Look at the shop.")
    assert (stopped["agent_name"], stopped["response"]) == ("explore", "It sells things.")
    for told in (started, stopped):
        assert told["cwd"] == str(kimi.work)
        assert Path(told["transcript_path"]).stem == told["session_id"]
    assert not list(kimi.work.glob("*-coder.jsonl")), "the matcher is the type"
