"""MCP servers that the editor brings: of one session, beside the person's own, never in the way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_editor import ALL, Editor, Message, call, text
from acp_schema import editing
from kimi_program import Program
from mcp_fakes import fake, fake_http
from mcp_house import write_servers
from processes import living_with, wait_until_gone


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    program = Program(tmp_path_factory.mktemp("serving"))
    program.home.mkdir()
    write_servers(program.home / "mcp.json", {"own": fake("good")})
    with editing(program, "--yolo", capabilities=ALL) as editor:
        yield editor


def stdio(name: str, *command: str, **env: str) -> Message:
    pairs = [{"name": key, "value": value} for key, value in env.items()]
    return {"name": name, "command": command[0], "args": list(command[1:]), "env": pairs}


def echo(server: str) -> Message:
    return call(f"mcp__{server}__echo", text=f"from {server}")


def outputs(editor: Editor, session: str) -> list[str]:
    calls = {u["toolCallId"] for u in editor.updates(session, "tool_call")}
    return [editor.card(session, number)["rawOutput"]["output"] for number in range(len(calls))]


def test_they_join_the_persons_own_in_their_session_alone(serving: Editor, work: Path) -> None:
    steps = ([echo("own"), echo("theirs")], text("Done."))
    with fake_http("good") as url:
        brought = [stdio("theirs", *fake("good")), {"type": "http", "name": "web", "url": url, "headers": []}]
        steps = ([echo("own"), echo("theirs"), echo("web")], text("Done."))
        session = serving.new(*steps, cwd=str(work), mcpServers=brought)
        assert serving.prompt(session) == {"stopReason": "end_turn"}
        assert outputs(serving, session) == ["from own", "from theirs", "from web"]
    other = serving.new(*steps, cwd=str(work))
    serving.prompt(other)
    own, theirs, _ = outputs(serving, other)
    assert own == "from own"
    assert "There is no tool 'mcp__theirs__echo'" in theirs


def test_their_environment_is_taken_as_it_is_written(serving: Editor, work: Path) -> None:
    command = fake("good")
    marked = stdio("marked", *command, KIMI_TEST_MARK="acp-${HOME}-mark")
    session = serving.new(echo("marked"), text("Done."), cwd=str(work), mcpServers=[marked])
    serving.prompt(session)
    assert outputs(serving, session) == ["from marked"]
    assert living_with("KIMI_TEST_MARK=acp-${HOME}-mark")
    assert serving.request("session/close", sessionId=session) == {}
    serving.until(lambda: not living_with("KIMI_TEST_MARK=acp-${HOME}-mark"))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (stdio("gone", "/no/such/program"), "gone"),
        ({"name": "odd", "command": 7, "args": [], "env": []}, "odd"),
        ({"name": "", "command": "x", "args": [], "env": []}, "is left out"),
        ({"command": "x"}, "it has no name"),
        ({"type": "carrier-pigeon", "name": "bird", "url": "http://127.0.0.1:1"}, "bird"),
        ("text", "it has no name"),
    ],
)  # fmt: skip
def test_a_bad_one_is_a_notice_and_costs_nothing_else(serving: Editor, work: Path, bad: Any, told: str) -> None:
    session = serving.new(text("Hello."), cwd=str(work), mcpServers=[bad, stdio("theirs", *fake("good"))])
    assert serving.prompt(session) == {"stopReason": "end_turn"}
    serving.until(lambda: any(told in str(notice) for notice in serving.updates(session, "notice")))


def test_the_session_does_not_wait_for_them(serving: Editor, work: Path) -> None:
    silent = stdio("silent", "sleep", "100")
    session = serving.new(text("Hello."), cwd=str(work), mcpServers=[silent])
    assert serving.prompt(session) == {"stopReason": "end_turn"}
    assert not any("silent" in str(notice) for notice in serving.updates(session, "notice"))  # it is still waited for


def test_they_come_back_with_a_session_that_is_loaded(serving: Editor, work: Path) -> None:
    session = serving.new(text("Hello."), cwd=str(work))
    serving.prompt(session)
    serving.request("session/load", sessionId=session, cwd=str(work), mcpServers=[stdio("late", *fake("good"))])
    serving.play(echo("late"), text("Done."))
    serving.prompt(session)
    assert outputs(serving, session) == ["from late"]


def test_the_end_of_the_input_ends_those_that_would_not(tmp_path: Path) -> None:
    editor = Editor(Program(tmp_path), capabilities=ALL)
    stubborn = stdio(
        "stubborn", "sh", "-c", "trap '' TERM; touch begun; sleep 300 & wait", KIMI_TEST_MARK=str(tmp_path)
    )
    session = editor.new(text("Hello."), mcpServers=[stubborn])
    editor.prompt(session)
    editor.until(lambda: living_with(f"KIMI_TEST_MARK={tmp_path}"))
    assert editor.close() == 0
    wait_until_gone(f"KIMI_TEST_MARK={tmp_path}")
