"""How `kimi acp` is started, and what it does where something is missing."""

import json
import signal
from pathlib import Path

import pytest
from acp_editor import ALL, Editor, Refused, call, text
from kimi_program import Program
from processes import working_in


@pytest.fixture
def kimi(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_without_a_model_it_says_how_to_get_one(kimi: Program) -> None:
    kimi.write_config("")
    editor = Editor(kimi, "--config-file", str(kimi.config), capabilities={})
    assert editor.request("auth/status")["state"] == "unauthenticated"
    with pytest.raises(Refused, match="kimi login") as refused:
        editor.new(text("Hello."))
    assert refused.value.code == -32000
    assert refused.value.data["authMethods"] == editor.hello["authMethods"]
    with pytest.raises(Refused):
        editor.request("authenticate", methodId="kimi-login")
    model = f'[providers.p]\ntype = "scripted"\nbase_url = "{editor.scenario_file}"\n[models.m]\nprovider = "p"\nmodel = "m"\n'
    kimi.write_config(f'default_model = "m"\n{model}')
    assert editor.prompt(editor.new(text("Hello."))) == {"stopReason": "end_turn"}  # not every editor signs in again
    assert editor.request("authenticate", methodId="kimi-login") == {}
    assert editor.close() == 0
    assert editor.stderr == ""


def test_a_broken_configuration_is_told_and_can_be_mended(kimi: Program) -> None:
    kimi.write_config("x = ")
    editor = Editor(kimi, capabilities={})
    with pytest.raises(Refused, match=r"config\.toml:1"):
        editor.new(text("Hello."))
    kimi.write_config("")
    assert editor.prompt(editor.new(text("Hello."))) == {"stopReason": "end_turn"}
    assert editor.close() == 0
    assert editor.stderr == ""


@pytest.mark.parametrize(
    ("words", "mode"),
    [(["acp", "--yolo"], "yolo"), (["--plan", "acp"], "plan"), (["--acp", "--afk"], "afk"), (["acp"], "yolo")],
)
def test_options_of_a_session_go_before_or_after(kimi: Program, words: list[str], mode: str) -> None:
    """The alias of kimi-cli, and the person's own default, are followed as well."""
    kimi.write_config("default_yolo = true\n")
    first = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "session/new", "params": {"cwd": str(kimi.work), "mcpServers": []}}
    )
    scenario = kimi.scenario([text("Hello.")])
    done = kimi.run("--provider", scenario, *words, stdin=first + "\n")
    assert json.loads(done.stdout.splitlines()[0])["result"]["modes"]["currentModeId"] == mode
    assert done.stderr == ""


def test_wrong_options_are_told_on_standard_error(kimi: Program) -> None:
    for words, told in (
        (["--nonsense"], "--nonsense"),
        (["-p", "x"], "not those of one session"),
        (["--yolo", "--afk"], "exclude"),
    ):
        done = kimi.run("acp", *words)
        assert done.returncode == 2
        assert told in done.stderr
    assert "Usage: kimi acp" in kimi.run("acp", "--help").stdout


@pytest.mark.parametrize(
    ("name", "version", "has"), [("JetBrains.IDEA", "2026.1.2", False), ("JetBrains.IDEA", "2026.2", True)]
)
def test_an_editor_that_stumbles_over_options_gets_modes(
    bare: Editor, work: Path, name: str, version: str, has: bool
) -> None:
    info = {"name": name, "version": version}
    bare.request("initialize", protocolVersion=1, clientCapabilities={}, clientInfo=info)
    try:
        session = bare.request("session/new", cwd=str(work), mcpServers=[])
        assert ("configOptions" in session) is has
        assert session["modes"]["availableModes"]
    finally:
        bare.request("initialize", protocolVersion=1, clientCapabilities={})


def test_a_folder_that_nobody_trusts_is_told_and_can_be_trusted(editor: Editor, work: Path) -> None:
    (work / "AGENTS.md").write_text("Always say aye.\n")
    session = editor.new([{"expect": "Always say aye."}, text("Aye.")], cwd=str(work))
    editor.until(lambda: any("AGENTS.md" in str(notice) for notice in editor.updates(session, "notice")))
    form = {"action": "accept", "content": {"answer_1": "Trust them"}}
    editor.answers["elicitation/create"] = lambda _: form
    try:
        editor.prompt(session, "/trust")
    finally:
        del editor.answers["elicitation/create"]
    assert "Trusted." in editor.said(session)
    editor.prompt(session, "Say it.")
    assert editor.said(session).endswith("Aye.")


def test_a_session_that_is_open_elsewhere_is_not_taken(kimi: Program) -> None:
    one, two = (Editor(kimi, capabilities=ALL) for _ in range(2))
    session = one.new(text("Hello."))
    one.prompt(session)
    with pytest.raises(Refused, match="open in another kimi"):
        two.request("session/load", sessionId=session, cwd=str(kimi.work), mcpServers=[])
    one.close()
    assert two.request("session/load", sessionId=session, cwd=str(kimi.work), mcpServers=[])["modes"]
    assert two.close() == 0


def test_a_signal_ends_it_with_its_children(kimi: Program) -> None:
    editor = Editor(kimi, "--yolo", capabilities={})
    session = editor.new(call("Shell", command="touch begun; sleep 300"), text("Never."))
    editor.begin_prompt(session)
    editor.until((kimi.work / "begun").exists)
    editor.process.send_signal(signal.SIGTERM)
    assert editor.close() == 128 + signal.SIGTERM
    editor.until(lambda: not working_in(kimi.work))


def test_a_model_and_an_effort_are_remembered_by_folder(editor: Editor, work: Path) -> None:
    before = editor.program.config.exists()
    session = editor.new(cwd=str(work))
    editor.request("session/set_config_option", sessionId=session, configId="thinking", value="high")
    editor.request("session/set_config_option", sessionId=session, configId="mode", value="yolo")
    values = []
    for folder in (work, work.parent):
        options = editor.request("session/new", cwd=str(folder), mcpServers=[])["configOptions"]
        values.append({option["id"]: option["currentValue"] for option in options})
    assert [(value["thinking"], value["mode"]) for value in values] == [("high", "default"), ("default", "default")]
    assert editor.program.config.exists() is before
    file = editor.program.home / "acp.json"
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("{damaged")
    editor.request("session/set_config_option", sessionId=session, configId="thinking", value="low")
    assert editor.new(cwd=str(work))
    assert file.read_text() == "{damaged"
    file.unlink()
