"""The requirements of the official conformance suite for version 1, by their names there."""

import json
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Refused, call, text
from acp_schema import known_keys
from kimi_program import Program
from processes import working_in

SLOW = [text("Begun."), {"delay": 300}, text("Never.")]


def begun(editor: Editor, session: str) -> None:
    editor.until(lambda: "Begun." in editor.said(session))


@pytest.mark.parametrize("version", [1, 2, 65535, "2025-03-26", None])
def test_init_001_002_003_004_version_1_whatever_is_asked_for(bare: Editor, version: Any) -> None:
    info = {"name": "tests", "version": "1"}
    hello = bare.request("initialize", protocolVersion=version, clientCapabilities={}, info=info, clientInfo=info)
    assert hello["protocolVersion"] == 1
    assert hello["agentInfo"]["name"] == "kimi"  # INIT-004
    assert hello["agentInfo"]["version"]


def test_schema_002_no_root_keys_of_our_own(bare: Editor) -> None:
    assert set(bare.hello) <= known_keys("InitializeResponse")
    assert set(bare.hello["agentCapabilities"]) <= known_keys("AgentCapabilities")
    bare.play(text("Hello."))
    session = bare.request("session/new", cwd=str(bare.program.work), mcpServers=[])
    assert set(session) <= known_keys("NewSessionResponse")
    assert set(bare.prompt(session["sessionId"])) <= known_keys("PromptResponse")


def test_auth_001_002_methods_and_what_the_registry_asks_for(bare: Editor) -> None:
    assert [method.get("type", "agent") for method in bare.hello["authMethods"]] == ["agent"]
    wanted = {"auth": {"terminal": True}, "terminal": True, "_meta": {"terminal-auth": True}}
    methods = bare.request("initialize", protocolVersion=1, clientCapabilities=wanted)["authMethods"]
    bare.request("initialize", protocolVersion=1, clientCapabilities={})
    assert [method.get("type", "agent") for method in methods] == ["terminal", "agent"]
    assert len({method["id"] for method in methods}) == 2
    by_terminal = methods[1]["_meta"]["terminal-auth"]
    assert Path(by_terminal["command"]).is_absolute()
    assert by_terminal["args"][-1] == "login"


def test_auth_003_004_005_no_gate_where_a_model_is_there(bare: Editor) -> None:
    assert bare.request("authenticate", methodId=bare.hello["authMethods"][0]["id"]) == {}
    with pytest.raises(Refused, match="there is no method"):
        bare.request("authenticate", methodId="nonsense")
    assert bare.request("auth/status")["state"] == "authenticated"
    assert bare.request("logout") == {}
    assert bare.request("auth/status")["state"] == "unauthenticated"
    with pytest.raises(Refused) as refused:
        bare.new()
    assert refused.value.code == -32000
    assert refused.value.data["authMethods"]
    assert bare.request("authenticate", methodId="kimi-login") == {}
    bare.new()


def test_jsonrpc_001_002_ids_come_back_as_they_were(bare: Editor) -> None:
    for name in (7001, "seven", "7001x", -3):
        answer = bare.answer(bare.begin("session/list", {}, name))
        assert answer["id"] == name
        assert ("result" in answer) != ("error" in answer)


def test_jsonrpc_003_004_005_notifications_are_never_answered(bare: Editor) -> None:
    before = len(bare.transcript)
    bare.notify("session/cancel", sessionId="nobody")
    bare.notify("_x/y")
    bare.notify("no/such")
    bare.notify("session/new", cwd="/", mcpServers=[])
    with pytest.raises(Refused) as refused:
        bare.request("no/such")
    assert refused.value.code == -32601
    bare.request("session/list")
    assert sum(way == "<" for way, _ in bare.transcript[before:]) == 2


def test_session_001_002_new_ones_have_ids_of_their_own(bare: Editor) -> None:
    assert len({bare.new() for _ in range(3)}) == 3
    for cwd, mcp in (("relative", []), ("/no/such/folder", []), ("/etc/hostname", []), ("/", None), (7, [])):
        with pytest.raises(Refused) as refused:
            bare.request("session/new", cwd=cwd, mcpServers=mcp)
        assert refused.value.code == -32602
        assert "\n" not in str(refused.value)  # ERROR-001


def test_prompt_001_002_a_text_is_answered(bare: Editor, work: Path) -> None:
    session = bare.new([{"think": "So."}, text("Hello.")], cwd=str(work))
    assert bare.prompt(session, "Hi.") == {"stopReason": "end_turn"}
    assert bare.said(session) == "Hello."
    assert bare.said(session, "agent_thought_chunk") == "So."
    kinds = [update["sessionUpdate"] for update in bare.updates(session)]
    assert kinds[-1] == "usage_update"


def test_prompt_003_links_and_promptcap_001_002_003_what_is_attached(editor: Editor, work: Path) -> None:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    session = editor.new(
        [{"expect": "a.txt"}, text("Seen.")], [{"expect": "[The user has attached a recording (audio/wav): "}, text("Heard.")],
        cwd=str(work),
    )  # fmt: skip
    file = f"file://{work}/a.txt"
    blocks = [
        text("Look."),
        {"type": "resource", "resource": {"uri": file, "text": "one\n", "mimeType": "text/plain"}},
        {"type": "image", "data": pixel, "mimeType": "image/png"},
        {"type": "resource", "resource": {"uri": "x:pdf", "blob": "aGVsbG8=", "mimeType": "application/pdf"}},
        {"type": "hologram", "data": 1},
        {"type": "resource_link", "uri": file, "name": "a.txt"},
    ]
    assert editor.prompt(session, *blocks)["stopReason"] == "end_turn"
    assert (
        editor.prompt(session, {"type": "audio", "data": "aGVsbG8=", "mimeType": "audio/wav"})["stopReason"]
        == "end_turn"
    )
    assert editor.said(session) == "Seen.Heard."
    log = (editor.program.home / "sessions" / f"{session}.jsonl").read_text()
    path = Path(log.split("recording (audio/wav): ")[1].split("]")[0])
    assert path.read_bytes() == b"hello"
    for wrong in ({"type": "image", "mimeType": "image/png"}, {"type": "text"}, {}, 7, {"type": "image", "data": "?"}):
        with pytest.raises(Refused) as refused:
            editor.result(editor.begin("session/prompt", {"sessionId": session, "prompt": [wrong]}))
        assert refused.value.code == -32602


def test_cancel_001_002_is_a_stop_reason_and_the_last_word(bare: Editor, work: Path) -> None:
    session = bare.new(SLOW, cwd=str(work))
    request = bare.begin_prompt(session)
    begun(bare, session)
    bare.notify("session/cancel", sessionId=session)
    assert bare.result(request) == {"stopReason": "cancelled"}
    place = len(bare.transcript)
    bare.request("session/list")
    assert bare.updates(session, since=place) == []


def test_a_prompt_can_be_cancelled_by_its_request_and_others_answered_as_such(bare: Editor, work: Path) -> None:
    session = bare.new(SLOW, cwd=str(work))
    request = bare.begin_prompt(session)
    begun(bare, session)
    bare.notify("$/cancel_request", requestId="nobody")
    bare.notify("$/cancel_request", requestId={"odd": []})
    bare.notify("$/cancel_request", requestId=request)
    assert bare.result(request) == {"stopReason": "cancelled"}


def test_prompts_queue_and_are_all_cancelled(bare: Editor, work: Path) -> None:
    session = bare.new([text("Begun."), {"delay": 0.2}, text("One.")], text("Two."), SLOW, cwd=str(work))
    first = bare.begin_prompt(session, "1")
    second = bare.begin_prompt(session, "2")
    assert bare.result(second)["stopReason"] == "end_turn"
    assert bare.result(first)["stopReason"] == "end_turn"
    assert bare.said(session) == "Begun.One.Two."
    waiting = [bare.begin_prompt(session, str(number)) for number in (3, 4, 5)]
    bare.until(lambda: bare.said(session).endswith("Begun."))
    bare.notify("session/cancel", sessionId=session)
    assert [bare.result(each)["stopReason"] for each in waiting] == ["cancelled"] * 3


def test_config_001_002_003_and_modes_001_002(bare: Editor, work: Path) -> None:
    given = bare.request("session/new", cwd=str(work), mcpServers=[])
    session, options = given["sessionId"], {option["id"]: option for option in given["configOptions"]}
    assert [option["category"] for option in given["configOptions"]] == ["model", "thought_level", "mode"]
    assert {option["type"] for option in given["configOptions"]} == {"select"}
    assert given["modes"]["currentModeId"] == options["mode"]["currentValue"] == "default"
    for name, value in (("mode", "plan"), ("thinking", "high"), ("model", options["model"]["currentValue"])):
        after = bare.request("session/set_config_option", sessionId=session, configId=name, value=value)[
            "configOptions"
        ]
        assert [option["id"] for option in after] == list(options)
        assert next(option for option in after if option["id"] == name)["currentValue"] == value
    assert bare.updates(session, "current_mode_update")[-1]["currentModeId"] == "plan"
    assert bare.request("session/set_mode", sessionId=session, modeId="yolo") == {}
    told = bare.updates(session, "config_option_update")[-1]["configOptions"]
    assert next(option for option in told if option["id"] == "mode")["currentValue"] == "yolo"
    for name, value in (("mode", "nonsense"), ("thinking", True), ("model", "none"), ("speed", "high")):
        with pytest.raises(Refused) as refused:
            bare.request("session/set_config_option", sessionId=session, configId=name, value=value)
        assert refused.value.code in (-32602, -32000)
    with pytest.raises(Refused, match="there is no mode"):
        bare.request("session/set_mode", sessionId=session, modeId="nonsense")


def test_list_001_002_delete_001_002_close_001(bare: Editor, work: Path) -> None:
    session = bare.new(text("Hello."), cwd=str(work))
    assert [s["sessionId"] for s in bare.request("session/list", cwd=str(work))["sessions"]] == [session]
    bare.prompt(session, "The title.")
    [found] = bare.request("session/list", cwd=str(work))["sessions"]
    assert (found["title"], found["cwd"]) == ("The title.", str(work))
    assert found["updatedAt"]
    assert bare.request("session/list", cwd=str(work / "unused")) == {"sessions": []}
    assert session in {s["sessionId"] for s in bare.request("session/list")["sessions"]}
    with pytest.raises(Refused, match="cursor"):
        bare.request("session/list", cursor="nonsense")
    assert bare.request("session/close", sessionId=session) == {}
    with pytest.raises(Refused) as refused:
        bare.prompt(session)
    assert refused.value.code == -32002
    assert bare.request("session/delete", sessionId=session[:-1]) == {}  # the beginning of an id is none
    assert len(bare.request("session/list", cwd=str(work))["sessions"]) == 1
    assert bare.request("session/delete", sessionId=session) == {}
    assert bare.request("session/delete", sessionId=session) == {}
    assert bare.request("session/delete", sessionId="../x") == {}
    assert bare.request("session/list", cwd=str(work)) == {"sessions": []}


def test_close_002_settles_the_prompt(bare: Editor, work: Path) -> None:
    session = bare.new(SLOW, cwd=str(work))
    request = bare.begin_prompt(session)
    begun(bare, session)
    assert bare.request("session/close", sessionId=session) == {}
    assert bare.result(request) == {"stopReason": "cancelled"}


def test_load_001_002_003_resume_001_002(bare: Editor, work: Path) -> None:
    session = bare.new(text("Hello."), cwd=str(work))
    bare.prompt(session, "Hi.")
    bare.request("session/close", sessionId=session)
    place = len(bare.transcript)
    loaded = bare.request("session/load", sessionId=session, cwd=str(work), mcpServers=[])
    assert loaded["modes"]["currentModeId"] == "default"
    assert bare.said(session, "user_message_chunk", place) == "Hi."
    assert bare.said(session, since=place) == "Hello."
    bare.request("session/close", sessionId=session)
    place = len(bare.transcript)
    assert bare.request("session/resume", sessionId=session, cwd=str(work))["configOptions"]
    assert bare.said(session, "user_message_chunk", place) == bare.said(session, since=place) == ""
    empty = bare.new(cwd=str(work))
    for _ in range(2):  # one that is open, then one that never had a prompt
        bare.request("session/load", sessionId=empty, cwd=str(work), mcpServers=[])
        bare.request("session/close", sessionId=empty)
    for unknown in ("nobody", session[:-1], "../x", ""):
        with pytest.raises(Refused) as refused:
            bare.request("session/load", sessionId=unknown, cwd=str(work), mcpServers=[])
        assert refused.value.code == -32002


def test_adddirs_001_more_folders(bare: Editor, work: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "b.txt").write_text("in the other one\n")
    read = call("ReadFile", path=str(other / "b.txt"))
    session = bare.new(
        read, [{"expect": "in the other one"}, text("Read.")], cwd=str(work), additionalDirectories=[str(other)]
    )
    place = len(bare.asked())
    bare.prompt(session)
    assert bare.said(session) == "Read."
    assert len(bare.asked()) == place
    [found] = bare.request("session/list", cwd=str(work))["sessions"]
    assert found["additionalDirectories"] == [str(other)]
    with pytest.raises(Refused, match="additionalDirectories"):
        bare.new(cwd=str(work), additionalDirectories=["relative"])


def test_clientcap_001_002_003_nothing_is_asked_that_the_client_has_not(bare: Editor, work: Path) -> None:
    options = [{"label": "red", "description": ""}, {"label": "blue", "description": ""}]
    question = call("AskUserQuestion", questions=[{"question": "Which?", "header": "Colour", "options": options}])
    session = bare.new(question, call("WriteFile", path="b.txt", content="b\n"), text("Done."), cwd=str(work))
    bare.prompt(session)
    asked = {
        message["method"] for way, message in bare.transcript if way == "<" and "method" in message and "id" in message
    }
    assert asked == {"session/request_permission"}
    assert (work / "b.txt").read_text() == "b\n"
    assert {u["sessionUpdate"] for u in bare.updates(session)}.isdisjoint({"notice", "compaction_update"})


def test_ext_001_and_meta_001(bare: Editor, work: Path) -> None:
    with pytest.raises(Refused) as refused:
        bare.request("_custom/thing", anything=1)
    assert refused.value.code == -32601
    hostile = {"session_id": "EVIL", "self": 1, "sessionId": "EVIL", "traceparent": "00-1-1-00", "deep": {"a": [None]}}
    session = bare.new(text("Hello."), cwd=str(work), _meta=hostile)
    given = {"sessionId": session, "prompt": [text("Hi.")], "_meta": hostile}
    assert bare.result(bare.begin("session/prompt", given))["stopReason"] == "end_turn"
    assert bare.said(session) == "Hello."


@pytest.mark.parametrize("lines", ["", "initialize", "garbage", "prompt"])
def test_shutdown_001_ends_with_its_input(tmp_path: Path, lines: str) -> None:
    editor = Editor(Program(tmp_path))
    if lines == "garbage":
        editor.write(b"garbage\n" * 10)
    if lines == "initialize":
        editor.request("initialize", protocolVersion=1)
    if lines == "prompt":
        sleeps = call("Shell", command="touch begun; sleep 300")
        editor.play(sleeps, text("Never."))
        session = editor.new(cwd=str(editor.program.work))
        editor.begin_prompt(session)
        editor.until((editor.program.work / "begun").exists)
    assert editor.close() == 0
    assert editor.stderr == ""
    assert not working_in(editor.program.work)


def test_requests_before_the_end_of_the_input_are_answered(tmp_path: Path) -> None:
    editor = Editor(Program(tmp_path))
    one = editor.begin("session/new", {"cwd": str(tmp_path), "mcpServers": []})
    two = editor.begin("session/list", {})
    editor.close()
    assert editor.result(one)["sessionId"]
    assert "sessions" in editor.result(two)


def test_transport_files_and_split_lines(tmp_path: Path) -> None:
    """Standard input may be a file; a line may come in pieces, and lines in one."""
    editor = Editor(Program(tmp_path))
    line = json.dumps(
        {"jsonrpc": "2.0", "id": "split", "method": "initialize", "params": {"protocolVersion": 1}}
    ).encode()
    for byte in line:
        editor.write(bytes([byte]))
    editor.write(b"\r\n" + line.replace(b"split", b"second") + b"\n" + line.replace(b"split", b"third"))
    assert editor.result("split")["protocolVersion"] == 1
    assert editor.result("second")["protocolVersion"] == 1
    editor.close()
    assert editor.result("third")["protocolVersion"] == 1


def test_sessions_run_at_once_each_in_its_folder(bare: Editor, tmp_path: Path) -> None:
    waits = "touch begun; while [ ! -e ../go ]; do sleep 0.02; done; cat name.txt"
    sessions = {}
    for name in ("x", "y"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "name.txt").write_text(name)
        sessions[name] = bare.new(call("Shell", command=waits), text("Done."), cwd=str(folder))
    requests = [bare.begin_prompt(session) for session in sessions.values()]
    bare.until(lambda: all((tmp_path / name / "begun").exists() for name in sessions))
    (tmp_path / "go").touch()
    assert [bare.result(each)["stopReason"] for each in requests] == ["end_turn"] * 2
    for name, session in sessions.items():
        assert bare.card(session)["rawOutput"]["output"].strip().startswith(name)
