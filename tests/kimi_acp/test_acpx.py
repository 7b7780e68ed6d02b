"""acpx, a client for command lines, from the npm registry: with files and terminals of its own, and with permissions denied."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import node_house
import pytest
from acp_editor import call, text
from kimi_program import Program

ACPX = "acpx@0.19.1"
WRITE = ([text("I write."), call("WriteFile", path="b.txt", content="b\n")], [text("Done.")])


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def acpx(kimi: Program, *arguments: str, steps: Any = WRITE) -> subprocess.CompletedProcess[str]:
    node, folder = node_house.node(), node_house.package(ACPX)
    program = folder / next(iter(json.loads((folder / "package.json").read_text())["bin"].values()))
    agent = f"{sys.executable} -m kimi_agent acp --provider {kimi.scenario(*steps)}"
    return subprocess.run(
        [str(node), str(program), "--cwd", str(kimi.work), "--agent", agent, *arguments],
        capture_output=True, text=True, timeout=100, cwd=kimi.work, env=kimi.environment(PATH=f"{node.parent}:/usr/bin:/bin"),
    )  # fmt: skip


def test_a_task_with_everything_allowed(kimi: Program) -> None:
    done = acpx(kimi, "--approve-all", "exec", "Write b.")
    assert done.returncode == 0, done.stderr
    assert "[tool] WriteFile b.txt (completed)" in done.stdout
    assert "kind: edit" in done.stdout
    assert "[done] end_turn" in done.stdout
    assert (kimi.work / "b.txt").read_text() == "b\n"


def test_a_task_with_everything_denied(kimi: Program) -> None:
    done = acpx(kimi, "--deny-all", "exec", "Write b.")
    assert done.returncode == 5, done.stderr
    assert "[tool] WriteFile b.txt (failed)" in done.stdout
    assert not (kimi.work / "b.txt").exists()
