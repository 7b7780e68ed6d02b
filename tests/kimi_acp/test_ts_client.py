"""The SDK's client for TypeScript, of the newest release, with its strict validation."""

import json
import subprocess
import sys
from pathlib import Path

import node_house
from acp_editor import call, text
from acp_schema import SDK
from kimi_program import Program

CLIENT = Path(__file__).parent.parent / "acp_ts_client.mjs"


def test_every_message_is_valid_to_it(tmp_path: Path) -> None:
    kimi = Program(tmp_path)
    module = node_house.package(SDK) / "dist/v1/stable/acp.js"
    todos = call("SetTodoList", todos=[{"title": "Write", "status": "done"}])
    write = call("WriteFile", path="b.txt", content="b\n")
    scenario = kimi.scenario([{"think": "So."}, text("Now."), write, todos], [text("Done.")])
    agent = [sys.executable, "-m", "kimi_agent", "acp", "--provider", scenario]
    done = subprocess.run(
        [str(node_house.node()), str(CLIENT), str(module), str(kimi.work), *agent],
        capture_output=True, text=True, timeout=100, cwd=kimi.work, env=kimi.environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen["answer"] == {"stopReason": "end_turn"}
    assert (seen["hello"]["protocolVersion"], seen["options"], seen["listed"]) == (1, 3, 1)
    assert seen["asked"] == ["WriteFile b.txt"]
    assert {"agent_message_chunk", "tool_call", "tool_call_update", "plan", "usage_update"} <= seen["updates"].keys()
    assert (kimi.work / "b.txt").read_text() == "b\n"
