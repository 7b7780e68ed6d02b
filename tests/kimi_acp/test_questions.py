"""What the person in front of the editor is asked, and what the answers do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Message, allow, call, pick, reject, text

WRITE = call("WriteFile", path="b.txt", content="b\n")


@pytest.fixture
def answered(editor: Editor) -> Iterator[dict[str, Any]]:
    """The editor's answers, to be changed for one test."""
    before = dict(editor.answers)
    yield editor.answers
    editor.answers.clear()
    editor.answers.update(before)


def test_a_card_says_all_that_is_to_be_known(editor: Editor, work: Path) -> None:
    command = "rm -rf build && echo 'gone' > log"
    session = editor.new([call("Shell", command=command), WRITE], text("Done."), cwd=str(work))
    place = len(editor.asked())
    editor.prompt(session)
    shell, write = editor.asked()[place:]
    card = shell["toolCall"]
    assert (card["title"], card["kind"], card["status"], card["name"]) == (command, "execute", "pending", "Shell")
    assert card["rawInput"] == {"command": command}
    shown = card["content"][0]["content"]["text"]
    assert f"```sh\n{command}\n```" in shown
    assert f"in `{work}`" in shown
    assert write["toolCall"]["content"][0] == {
        "type": "diff",
        "path": str(work / "b.txt"),
        "oldText": None,
        "newText": "b\n",
    }
    assert write["toolCall"]["locations"] == [{"path": str(work / "b.txt"), "line": 1}]
    options = {option["optionId"]: option for option in write["options"]}
    assert options["once"]["kind"] == "allow_once"
    assert options["no"]["kind"] == "reject_once"
    assert all(o["name"] not in ("", "Allow always") for o in options.values())
    statuses = [
        u.get("status") for u in editor.updates(session) if u.get("toolCallId") == write["toolCall"]["toolCallId"]
    ]
    assert statuses == ["pending", "in_progress", "completed"]


def test_allow_always_says_what_and_holds_for_it_alone(editor: Editor, answered: dict[str, Any], work: Path) -> None:
    answered["session/request_permission"] = pick("allow_always")
    session = editor.new(
        call("WriteFile", path="b.txt", content="1"),
        call("WriteFile", path="b.txt", content="2"),
        text("Done."),
        cwd=str(work),
    )
    place = len(editor.asked())
    editor.prompt(session)
    [question] = editor.asked()[place:]
    scoped = [option for option in question["options"] if option["kind"] == "allow_always"]
    assert scoped[0]["name"].startswith("Allow in this session: ")
    assert len(scoped[0]["name"]) > len("Allow in this session: ")
    assert (work / "b.txt").read_text() == "2"


def test_a_rejected_call_is_not_run_and_ends_the_turn(editor: Editor, answered: dict[str, Any], work: Path) -> None:
    answered["session/request_permission"] = reject
    session = editor.new(WRITE, text("Never."), cwd=str(work))
    assert editor.prompt(session) == {"stopReason": "end_turn"}
    assert not (work / "b.txt").exists()
    assert editor.card(session)["status"] == "failed"
    assert "Never." not in editor.said(session)


def test_a_reason_goes_to_the_model_and_the_turn_goes_on(editor: Editor, answered: dict[str, Any], work: Path) -> None:
    def reason(params: Message) -> Message:
        return {"outcome": {"outcome": "selected", "optionId": "reason"}}

    answered["session/request_permission"] = reason
    answered["elicitation/create"] = lambda _: {"action": "accept", "content": {"answer": "use c.txt"}}
    session = editor.new(WRITE, [{"expect": "use c.txt"}, text("I see.")], cwd=str(work))
    editor.prompt(session)
    assert editor.said(session) == "I see."
    assert not (work / "b.txt").exists()


def question(**more: Any) -> Message:
    options = [{"label": "red", "description": "warm"}, {"label": "blue", "description": ""}]
    return call("AskUserQuestion", questions=[{"question": "Which?", "header": "Colour", "options": options, **more}])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"action": "accept", "content": {"answer_1": "blue"}}, "blue"),
        ({"action": "accept", "content": {"answer_1_other": "green"}}, "green"),
        ({"action": "decline"}, "Nobody answered"),
        ({"action": "cancel"}, "Nobody answered"),
        ({}, "Nobody answered"),
        (RuntimeError("no"), "could not show"),
    ],
)  # fmt: skip
def test_questions_are_forms(editor: Editor, answered: dict[str, Any], work: Path, answer: Any, told: str) -> None:
    answered["elicitation/create"] = lambda _: answer
    session = editor.new(question(), [{"expect": told}, text("I see.")], cwd=str(work))
    editor.prompt(session)
    assert editor.said(session) == "I see."
    asked = editor.asked("elicitation/create")[-1]
    assert (asked["mode"], asked["sessionId"]) == ("form", session)
    assert asked["requestedSchema"]["properties"]["answer_1"]["enum"] == ["red", "blue"]


def test_without_forms_questions_are_options(bare: Editor, work: Path) -> None:
    bare.answers["session/request_permission"] = lambda params: {
        "outcome": {
            "outcome": "selected",
            "optionId": next(o["optionId"] for o in params["options"] if o["name"] == "blue"),
        }
    }
    try:
        session = bare.new(question(), [{"expect": "blue"}, text("I see.")], cwd=str(work))
        bare.prompt(session)
        assert bare.said(session) == "I see."
        asked = bare.asked()[-1]
        assert asked["toolCall"]["title"] == "Which?"
        assert "warm" in asked["toolCall"]["content"][0]["content"]["text"]
        bare.answers["session/request_permission"] = reject
        session = bare.new(question(), [{"expect": "dismissed"}, text("I see.")], cwd=str(work))
        bare.prompt(session)
        assert bare.said(session) == "I see."
    finally:
        bare.answers["session/request_permission"] = allow


def test_a_cancelled_prompt_takes_its_question_back(editor: Editor, answered: dict[str, Any], work: Path) -> None:
    """An editor that never answers holds nothing up."""
    answered["session/request_permission"] = lambda _: None
    session = editor.new(WRITE, text("Later."), cwd=str(work))
    place = len(editor.asked())
    request = editor.begin_prompt(session)
    editor.until(lambda: len(editor.asked()) > place)
    editor.notify("session/cancel", sessionId=session)
    assert editor.result(request) == {"stopReason": "cancelled"}
    asked = [m["id"] for way, m in editor.transcript if way == "<" and m.get("method") == "session/request_permission"]
    back = [
        m["params"]["requestId"] for way, m in editor.transcript if way == "<" and m.get("method") == "$/cancel_request"
    ]
    assert asked[-1] in back
    assert not (work / "b.txt").exists()
    assert editor.prompt(session) == {"stopReason": "end_turn"}


def test_plans_are_approved_and_the_mode_follows(editor: Editor, answered: dict[str, Any], work: Path) -> None:
    answered["elicitation/create"] = lambda params: {
        "action": "accept", "content": {"answer_1": params["requestedSchema"]["properties"]["answer_1"]["enum"][0]},
    }  # fmt: skip
    session = editor.new(call("ExitPlanMode", plan="# The plan\n\n1. Write b."), WRITE, text("Done."), cwd=str(work))
    editor.request("session/set_mode", sessionId=session, modeId="plan")
    assert editor.prompt(session) == {"stopReason": "end_turn"}
    assert "The plan" in editor.asked("elicitation/create")[-1]["message"]
    assert editor.updates(session, "current_mode_update")[-1]["currentModeId"] == "default"
    assert (work / "b.txt").exists()
