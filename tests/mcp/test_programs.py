"""The real program with broken and many servers: its turns go on, quickly, and nothing is left running."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeAPI
from kimi_program import Program
from mcp_fakes import fake
from mcp_house import write_servers
from processes import wait_until_gone

BROKEN = {
    "hanging": fake("hangs_at_start"),
    "dead": fake("exits_at_once"),
    "flooding": fake("floods_stderr"),
    "gone": ["/nonexistent/program"],
}


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def use(name: str, /, **arguments: Any) -> dict[str, Any]:
    return {"call": {"name": name, "arguments": arguments}}


def history(kimi: Program) -> str:
    (log,) = kimi.home.glob("sessions/**/*.jsonl")
    return log.read_text()


def test_a_turn_with_broken_servers_is_done_and_quick(kimi: Program) -> None:
    write_servers(kimi.home / "mcp.json", {**BROKEN, "good": fake("good")})
    script = kimi.scenario(
        [use("mcp__good__echo", text="from good")],
        [use("mcp__dead__echo")],
        [use("mcp__flooding__echo", text="x")],
        [{"text": "Done."}],
    )
    began = time.monotonic()
    done = kimi.run("-p", "hi", "--yolo", "--provider", script, KIMI_TEST_MARK=str(kimi.folder))
    took = time.monotonic() - began
    assert done.stdout == "Done.\n", done.stderr
    assert "from good" in history(kimi)
    assert "The MCP server dead is not there" in history(kimi)
    assert "ended with code 1" in history(kimi)
    assert took < 30, "the one that hangs is not waited for: that would be its startup timeout, and it is ended at once"
    wait_until_gone(str(kimi.home))


def test_a_turn_that_wants_no_server_is_over_before_one_is_started(kimi: Program) -> None:
    log = kimi.folder / "log"
    write_servers(kimi.home / "mcp.json", {"good": fake("good", log=log)})
    assert kimi.run("-p", "hi", "--provider", kimi.scenario([{"text": "Done."}])).stdout == "Done.\n"
    assert not log.exists()


def test_flags_name_servers_for_one_run(kimi: Program) -> None:
    write_servers(kimi.home / "mcp.json", {"mine": fake("good")})
    write_servers(kimi.folder / "given.json", {"given": fake("good")})
    command, *args = fake("good")
    text = json.dumps({"mcpServers": {"inline": {"command": command, "args": args}}})
    script = kimi.scenario(
        [use("mcp__given__echo", text="a"), use("mcp__inline__echo", text="b"), use("mcp__mine__echo", text="c")],
        [{"text": "Done."}],
    )
    flags = ("--mcp-config-file", str(kimi.folder / "given.json"), "--mcp-config", text)
    done = kimi.run("-p", "hi", "--yolo", "--provider", script, *flags)
    assert done.stdout == "Done.\n", done.stderr
    assert "There is no tool 'mcp__mine__echo'" in history(kimi)
    damaged = kimi.run("-p", "hi", "--provider", script, "--mcp-config", "{")
    assert damaged.returncode != 0
    assert "--mcp-config" in damaged.stderr


def names(request: Any) -> list[str]:
    return [tool["function"]["name"] for tool in request.json.get("tools", [])]


def test_many_tools_are_found_by_one_and_the_prefix_of_requests_stays(kimi: Program) -> None:
    """While servers become ready in the middle of the turn, every request begins with all that the one before it said."""
    write_servers(kimi.home / "mcp.json", {"many": fake("many"), "good": fake("good"), **BROKEN})
    arguments = {"owner": "o", "repo": "r", "release_id": 1, "state": "open"}
    steps = [
        [use("McpTools", query="release")],
        [use("McpTools", name="mcp__many__read_release_31", arguments=arguments)],
        [use("mcp__many__update_release_32", **arguments)],
        [{"text": "Done."}],
    ]
    with FakeAPI(steps) as api:
        kimi.use(api.url)
        done = kimi.run("-p", "hi", "--yolo")
        assert done.stdout == "Done.\n", done.stderr
        assert len(api.requests) == len(steps)
        assert [name for name in names(api.requests[0]) if "mcp" in name.lower()] == ["McpTools"]
        assert "read_release_31 was called" in api.requests[-1].body.decode()
        assert "update_release_32 was called" in api.requests[-1].body.decode()
        for before, after in zip(api.requests, api.requests[1:], strict=False):
            assert after.json["tools"] == before.json["tools"]
            assert json.dumps(after.json["messages"]).startswith(json.dumps(before.json["messages"])[:-1])


def test_what_is_known_of_servers_is_told_at_once_in_a_later_run(kimi: Program) -> None:
    write_servers(kimi.home / "mcp.json", {"good": fake("good")})
    wait = [use("McpTools", query="echo")]
    with FakeAPI([wait, [{"text": "Done."}], [{"text": "Again."}]]) as api:
        kimi.use(api.url)
        assert kimi.run("-p", "hi", "--yolo").stdout == "Done.\n"
        assert kimi.run("-p", "hi", "--yolo").stdout == "Again.\n"
        assert [name for name in names(api.requests[0]) if "mcp" in name.lower()] == ["McpTools"]
        assert [name for name in names(api.requests[2]) if "mcp" in name.lower()] == [
            "mcp__good__echo", "mcp__good__fail", "mcp__good__refuse", "mcp__good__write",
        ]  # fmt: skip


@pytest.mark.parametrize("boxed", [True, False])
def test_after_sigkill_no_server_is_left(kimi: Program, boxed: bool) -> None:
    """Also not those that outlive the end of their input and SIGTERM, and what they have daemonised."""
    note = kimi.work / "pid"
    servers = {name: entry(*fake(*behaviour), box=boxed) for name, behaviour in {
        "forks": ("double_forks", note), "stubborn": ("stubborn",), "hanging": ("hangs_at_start",),
    }.items()}  # fmt: skip
    write_servers(kimi.home / "mcp.json", servers)
    script = kimi.scenario(
        [use("mcp__forks__echo", text="a"), use("mcp__stubborn__echo", text="a")], [{"delay": 60}, {"text": "Done."}]
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "kimi_agent", "-p", "hi", "--yolo", "--provider", script],
        cwd=kimi.work, env=kimi.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not (note.exists() and history(kimi).count('"output"') + history(kimi).count("tool_result") >= 2):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    wait_until_gone(str(kimi.home))


def entry(command: str, *args: str, **more: Any) -> dict[str, Any]:
    return {"command": command, "args": list(args), **more}


def test_the_search_is_no_way_around_hooks(kimi: Program) -> None:
    """A hook of a tool sees the calls of it that go through McpTools, as what they are."""
    write_servers(kimi.home / "mcp.json", {"good": fake("good")})
    kimi.write_config(
        '[[hooks]]\nevent = "PreToolUse"\nmatcher = "^mcp__good__write$"\ncommand = "echo not this one >&2; exit 2"\n'
        '[[hooks]]\nevent = "PreToolUse"\nmatcher = "^mcp__good__echo$"\n'
        "command = '''echo '{\"hookSpecificOutput\": {\"updatedInput\": {\"text\": \"rewritten\"}}}' '''\n"
    )
    script = kimi.scenario(
        [
            use("McpTools", name="mcp__good__write", arguments={}),
            use("McpTools", name="mcp__good__echo", arguments={"text": "as given"}),
            use("McpTools", name="McpTools", arguments={"name": "mcp__good__write"}),
        ],
        [{"text": "Done."}],
    )
    assert kimi.run("-p", "hi", "--yolo", "--provider", script).stdout == "Done.\n"
    answers = {
        part["call_id"]: part["content"][0]["text"]
        for line in history(kimi).splitlines()
        if '"tool_result"' in line
        for part in json.loads(line)["message"]["parts"]
    }
    refused, changed, nested = (answers[call] for call in sorted(answers))
    assert refused == "Blocked by a hook of the user: not this one"
    assert changed.startswith("rewritten")
    assert "There is no tool 'McpTools'" in nested


def test_a_type_of_agent_has_its_tools_of_servers_and_no_others(kimi: Program) -> None:
    """Also where they are so many that a search stands for them: it finds and calls what the type may have."""
    write_servers(kimi.home / "mcp.json", {"many": fake("many"), "good": fake("good")})
    agents = kimi.home / "agents"
    agents.mkdir()
    (agents / "narrow.md").write_text("---\nname: narrow\ndescription: one server\ntools: mcp__good__*\n---\nDo it.\n")
    steps = [
        [use("McpTools", query="echo")],
        [use("Agent", subagent_type="narrow", description="try", prompt="try")],
        [use("McpTools", query="release"), use("McpTools", name="mcp__many__list_release_1", arguments={})],
        [use("McpTools", name="mcp__good__echo", arguments={"text": "from within"})],
        [{"text": "Reported."}],
        [{"text": "Done."}],
    ]
    with FakeAPI(steps) as api:
        kimi.use(api.url)
        assert kimi.run("-p", "hi", "--yolo").stdout == "Done.\n"
        assert names(api.requests[2]) == ["McpTools"]
        found, refused, called = (
            message["content"] for message in api.requests[4].json["messages"] if message["role"] == "tool"
        )
    assert "mcp__many__" not in found
    assert "There is no tool 'mcp__many__list_release_1'" in refused
    assert "from within" in called
