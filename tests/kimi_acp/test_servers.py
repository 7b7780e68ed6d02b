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
from mcp_http_server import McpHttpServer
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


def test_one_over_server_sent_events(serving: Editor, work: Path) -> None:
    with McpHttpServer() as server:
        headers = [{"name": "X-Key", "value": "of-the-editor"}]
        brought = {"type": "sse", "name": "old", "url": f"{server.origin}/sse", "headers": headers}
        step = call("mcp__old__big", size=5)
        session = serving.new(step, text("Done."), cwd=str(work), mcpServers=[brought])
        assert serving.prompt(session) == {"stopReason": "end_turn"}
        assert outputs(serving, session) == ["xxxxx"]
        serving.request("session/close", sessionId=session)
    streams = [asked for asked in server.asked if asked.path == "/sse"]
    assert [asked.headers["x-key"] for asked in streams] == ["of-the-editor"]
    assert {asked.path for asked in server.asked} == {"/sse", server.endpoint}


def test_the_persons_own_are_started_once_for_all_sessions_of_a_folder(tmp_path: Path) -> None:
    program = Program(tmp_path)
    program.home.mkdir()
    command, mark = fake("good"), f"KIMI_TEST_MARK={tmp_path}"
    entry = {"command": command[0], "args": command[1:], "env": {"KIMI_TEST_MARK": str(tmp_path)}}
    write_servers(program.home / "mcp.json", {"own": entry})
    with editing(program, "--yolo", capabilities=ALL) as editor:
        steps = ([echo("own"), echo("theirs")], text("Done."))
        brought = [stdio("theirs", *command, KIMI_TEST_THEIRS=str(tmp_path))]
        sessions = [editor.new(*steps, mcpServers=brought) for _ in range(2)]
        for session in sessions:
            assert editor.prompt(session) == {"stopReason": "end_turn"}
            assert outputs(editor, session) == ["from own", "from theirs"]
        assert servers_with(mark) == 1
        assert servers_with(f"KIMI_TEST_THEIRS={tmp_path}") == 2
        editor.request("session/close", sessionId=sessions[0])
        editor.until(lambda: servers_with(f"KIMI_TEST_THEIRS={tmp_path}") == 1)
        assert servers_with(mark) == 1


def servers_with(mark: str) -> int:
    """How many processes of the fake server there are with that in their environment; what they run in is not counted."""
    commands = (Path(f"/proc/{process}/cmdline") for process in living_with(mark))
    return sum(_arguments(path)[:1] == [fake("good")[0]] for path in commands)


def _arguments(path: Path) -> list[str]:
    try:
        return path.read_text().split("\0")
    except OSError:
        return []


def test_what_a_server_asks_comes_to_the_session_whose_call_it_is_about(tmp_path: Path) -> None:
    program = Program(tmp_path)
    program.home.mkdir()
    command = fake("asks")
    write_servers(program.home / "mcp.json", {"asks": {"command": command[0], "args": command[1:], "sampling": True}})
    with editing(program, "--yolo", capabilities=ALL) as editor:
        editor.answers["elicitation/create"] = lambda params: {"action": "decline"}
        steps = (call("mcp__asks__form"), call("mcp__asks__sample"), text("Done."))
        first, brings = editor.new(*steps), editor.new(*steps, mcpServers=[stdio("theirs", *fake("good"))])
        last = editor.new(*steps)
        for session in (first, brings, last):
            place = len(editor.asked("elicitation/create"))
            assert editor.prompt(session)["stopReason"] == "end_turn"
            form, sample = editor.asked("elicitation/create")[place:]
            assert [form["sessionId"], sample["sessionId"]] == [session] * 2
            assert "Who are you?" in form["message"]
            assert "ask the model" in str(sample)
        editor.request("session/close", sessionId=last)
        again = editor.new(*steps)
        editor.prompt(again)
        assert {p["sessionId"] for p in editor.asked("elicitation/create")[-2:]} == {again}


def test_of_two_of_one_name_the_editors_holds_in_its_session(serving: Editor, work: Path) -> None:
    steps = ([call("mcp__own__client"), call("mcp__own__refuse")], text("Done."))
    session = serving.new(*steps, cwd=str(work), mcpServers=[stdio("own", *fake("asks"))])
    serving.prompt(session)
    theirs, persons = outputs(serving, session)
    assert "'name': 'kimi'" in theirs
    assert "There is no tool 'mcp__own__refuse'" in persons
