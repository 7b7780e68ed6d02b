"""OpenHands, whose SDK runs agents of ACP: a task from its beginning to its end, without a person."""

import subprocess
import sys
from pathlib import Path

import pytest
from acp_editor import call, text
from kimi_program import Program
from later_python import environment, later_python

OPENHANDS = "openhands-sdk==1.58.2"
CHILD = Path(__file__).parents[1] / "openhands_child.py"


@pytest.mark.nightly  # half a gigabyte
def test_a_task(tmp_path: Path) -> None:
    python = environment(later_python("3.12", "3.13", "3.14"), OPENHANDS, patience=600)
    kimi = Program(tmp_path)
    steps = ([text("I write."), call("WriteFile", path="b.txt", content="b\n")], [text("It is written.")])
    agent = [sys.executable, "-m", "kimi_agent", "acp", "--provider", kimi.scenario(*steps)]
    waits = {"ACP_USAGE_UPDATE_TIMEOUT": "200"}  # for a count of tokens, which has to come without that
    done = subprocess.run(
        [str(python), str(CHILD), str(kimi.work), *agent],
        capture_output=True, text=True, timeout=150, env=kimi.environment(OPENHANDS_SUPPRESS_BANNER="1", **waits),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WriteFile b.txt" in done.stdout
    assert "It is written." in done.stdout
    assert (kimi.work / "b.txt").read_text() == "b\n"
