"""A prompt settles when it is cancelled, whatever it waits for: nothing here would end by itself. Then the session goes on."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Message, allow, call, text
from acp_schema import editing
from kimi_program import Program
from mcp_fakes import fake
from mcp_house import write_servers

FORMS: Message = {"terminal": True, "elicitation": {"form": {}}}
OPTIONS = [{"label": "red", "description": ""}, {"label": "blue", "description": ""}]
SLOW = [text("Begun."), {"delay": 300}]
STUBBORN = call("Shell", command="trap '' TERM INT HUP; touch begun; while true; do sleep 1; done")
SUBAGENT = call("Agent", description="look", prompt="Look.", subagent_type="coder")
QUESTION = call("AskUserQuestion", questions=[{"question": "Which?", "header": "Colour", "options": OPTIONS}])
Ready = Callable[[Editor, str, Path], Any]


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """An editor that has terminals and forms, in which nobody ever answers."""
    program = Program(tmp_path_factory.mktemp("silent"))
    program.home.mkdir()
    servers = {"mute": fake("ignores_cancel"), "asks": fake("asks")}
    write_servers(program.home / "mcp.json", servers)
    with editing(program, "--no-sandbox", "--i-accept-no-sandbox", capabilities=FORMS) as editor:
        for method in ("session/request_permission", "elicitation/create", "terminal/wait_for_exit", "terminal/kill"):
            editor.answers[method] = lambda params: None
        editor.answers["terminal/create"] = lambda params: {"terminalId": "t"}
        editor.answers["terminal/output"] = lambda params: {"output": "", "truncated": False}
        yield editor


def said(editor: Editor, session: str, work: Path) -> Any:
    return "Begun." in editor.said(session)


def begun(editor: Editor, session: str, work: Path) -> Any:
    return (work / "begun").exists()


def running(editor: Editor, session: str, work: Path) -> Any:
    cards = editor.updates(session, "tool_call_update")
    return any(card.get("status") == "in_progress" for card in cards)


def asks(method: str) -> Ready:
    return lambda editor, session, work: any(p["sessionId"] == session for p in editor.asked(method))


ALLOWED = {"session/request_permission": allow}
STATES: dict[str, tuple[Any, str, dict[str, Any], Ready]] = {
    "model that says nothing": ([{"delay": 300}], "Go.", {}, lambda editor, session, work: True),
    "stream of the model": (SLOW, "Go.", {}, said),
    "permission": (call("WriteFile", path="b.txt", content="b"), "Go.", {}, asks("session/request_permission")),
    "question": (QUESTION, "Go.", {}, asks("elicitation/create")),
    "terminal of the editor": (STUBBORN, "Go.", ALLOWED, asks("terminal/wait_for_exit")),
    "call of an MCP server": (call("mcp__mute__slow"), "Go.", ALLOWED, running),
    "question of an MCP server": (call("mcp__asks__form"), "Go.", ALLOWED, asks("elicitation/create")),
    "subagent": ([SUBAGENT, STUBBORN], "Go.", ALLOWED, asks("terminal/wait_for_exit")),
    "compaction": (SLOW, "/compact", {}, lambda editor, session, work: True),
    "question of a command": (text("Well."), "/model", {}, asks("elicitation/create")),
}


@pytest.mark.parametrize("state", STATES)
def test_whatever_a_prompt_waits_for(silent: Editor, work: Path, state: str) -> None:
    step, prompt, answers, ready = STATES[state]
    before = dict(silent.answers)
    silent.answers.update(answers)
    try:
        steps = [text("First. " * 2000), step] if prompt == "/compact" else [*step] if state == "subagent" else [step]
        session = silent.new(*steps, text("Well."), cwd=str(work))
        if prompt == "/compact":
            silent.prompt(session)
        request = silent.begin_prompt(session, prompt)
        silent.until(lambda: ready(silent, session, work))
        silent.notify("session/cancel", sessionId=session)
        assert silent.result(request, 20) == {"stopReason": "cancelled"}
        place = len(silent.transcript)
        assert silent.prompt(session, "/help") == {"stopReason": "end_turn"}  # what ran has ended
        assert "/compact" in silent.said(session, since=place)
    finally:
        silent.answers.clear()
        silent.answers.update(before)


def test_a_command_in_our_box(bare: Editor, work: Path) -> None:
    session = bare.new(STUBBORN, text("Well."), cwd=str(work))
    request = bare.begin_prompt(session)
    bare.until(lambda: begun(bare, session, work))
    waiting = bare.begin_prompt(session, "And this.")
    bare.notify("session/cancel", sessionId=session)
    assert bare.result(request, 20) == bare.result(waiting, 20) == {"stopReason": "cancelled"}
    assert bare.prompt(session, "Go on.") == {"stopReason": "end_turn"}
