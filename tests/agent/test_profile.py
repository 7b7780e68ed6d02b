"""The compact profile: what a small model is told is short, and the same bytes in every folder, home and session."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from fake_api import FakeAPI
from kimi_program import Program

CONFIG = """\
default_model = "small"
[providers.p]
type = "kimi"
base_url = "{url}"
api_key = "sk-test"
[models.small]
provider = "p"
model = "small-1"
max_context_size = 16000
profile = "compact"
[models.large]
provider = "p"
model = "large-1"
max_context_size = 100000
"""
PREFIX = "dc5c"


def newcomer(folder: Path, api: FakeAPI) -> Program:
    program = Program(folder)
    program.write_config(CONFIG.format(url=api.url))
    return program


def with_everything(folder: Path, api: FakeAPI) -> Program:
    """A folder with all that a full prompt tells of: instructions, a repository, a skill, an agent type, an MCP server."""
    program = newcomer(folder, api)
    (program.home / "AGENTS.md").write_text("Say please.")
    skill = program.home / "skills" / "tea" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: tea\ndescription: How to make tea.\n---\nBoil water.\n")
    (program.work / ".git").mkdir()
    (program.work / "AGENTS.md").write_text("Use tabs.")
    return program


def prefix(body: Any) -> bytes:
    """What a server turns into the first tokens of a conversation."""
    return json.dumps([body["tools"], body["messages"][0]], ensure_ascii=False).encode()


def test_the_prefix_is_the_same_everywhere_and_nothing_else_is_said(tmp_path: Path):
    with FakeAPI(lambda body: [{"text": "Hello."}]) as api:
        for program in (newcomer(tmp_path / "a", api), with_everything(tmp_path / "b", api)):
            assert program.run("-p", "Hi", TZ="Pacific/Kiritimati").returncode == 0
        first, second = (request.json for request in api.requests)
    assert prefix(first) == prefix(second)
    for body in (first, second):
        assert body["messages"][1:] == [{"role": "user", "content": "Hi"}]
    assert len(prefix(first)) < 3000
    assert sha256(prefix(first)).hexdigest()[:4] == PREFIX, "the model in the package is trained on these very bytes"


def test_the_tools_are_those_of_every_session(tmp_path: Path):
    calls = [
        ("WriteFile", {"path": "notes.txt", "content": "one\ntwo\n"}),
        ("StrReplaceFile", {"path": "notes.txt", "edit": {"old": "two", "new": "three"}}),
        ("Shell", {"command": "wc -l notes.txt"}),
        ("Shell", {"command": "touch ../outside.txt"}),
    ]
    script = [[{"call": {"name": name, "arguments": arguments}}] for name, arguments in calls]
    with FakeAPI([*script, [{"text": "Done."}]]) as api:
        program = newcomer(tmp_path, api)
        run = program.run("-p", "Make notes", "--allow", "WriteFile", "--allow", "StrReplaceFile")
        shown = {tool["function"]["name"]: tool["function"]["parameters"] for tool in api.requests[0].json["tools"]}
        results = [message["content"] for message in api.requests[-1].json["messages"] if message["role"] == "tool"]
    for name, arguments in calls:
        assert arguments.keys() <= shown[name]["properties"].keys()
    assert (program.work / "notes.txt").read_text() == "one\nthree\n"
    assert results[2].startswith("2 notes.txt")
    assert run.returncode == 3, "something was denied"
    assert not (tmp_path / "outside.txt").exists(), "what nobody allowed does not run"


def test_another_model_of_the_session_is_told_everything(tmp_path: Path):
    with FakeAPI(lambda body: [{"text": "Hello."}]) as api:
        program = with_everything(tmp_path, api)
        assert program.run("-p", "Hi", "--trust").returncode == 0
        assert program.run("-p", "Again", "--continue", "-m", "large", "--trust").returncode == 0
        assert program.run("-p", "Again", "--continue", "-m", "small", "--trust").returncode == 0
        assert program.run("-p", "Again", "-m", "large", "--profile", "compact").returncode == 0
        small, large, again, told_less = (request.json for request in api.requests)
    assert "Use tabs." in large["messages"][0]["content"]
    assert len(large["tools"]) > len(small["tools"])
    assert prefix(again) == prefix(small) == prefix(told_less)


def test_plan_mode_asks_for_a_plan_where_there_is_no_tool_for_one(tmp_path: Path):
    with FakeAPI(lambda body: [{"text": "First read a.txt."}]) as api:
        program = newcomer(tmp_path, api)
        assert program.run("-p", "Tidy up", "--plan").returncode == 0
        assert program.run("-p", "Tidy up", "--plan", "-m", "large").returncode == 0
        compact, full = (json.dumps(request.json["messages"]) for request in api.requests)
    assert "answer with a plan" in compact
    assert "ExitPlanMode" not in compact
    assert "ExitPlanMode" in full
