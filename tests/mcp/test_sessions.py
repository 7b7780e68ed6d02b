"""Tools of servers in the real program: called by a scripted model, in the box, with the usual questions."""

import json
from pathlib import Path

import pytest
from kimi_program import Program
from mcp_fakes import fake
from mcp_house import write_servers

ECHO = {"call": {"name": "mcp__good__echo", "arguments": {"text": "hello"}}}


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def log_of(kimi: Program) -> list[dict[str, object]]:
    (log,) = kimi.home.glob("sessions/**/*.jsonl")
    return [
        json.loads(line.rpartition("\t")[2] if not line.startswith("{") else line)
        for line in log.read_text().splitlines()
    ]


def test_a_tool_is_called_by_its_name_before_its_server_is_there(kimi: Program) -> None:
    write_servers(kimi.home / "mcp.json", {"good": fake("good")})
    done = kimi.run("-p", "hi", "--yolo", "--provider", kimi.scenario([ECHO], [{"text": "Done."}]))
    assert done.stdout == "Done.\n", done.stderr
    assert "hello" in next(kimi.home.glob("sessions/**/*.jsonl")).read_text()
