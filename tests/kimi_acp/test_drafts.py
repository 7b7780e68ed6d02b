"""What is still a draft of the protocol: for clients that take it, and never for others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from acp_editor import ALL, Editor, Message, Refused, call, text
from acp_schema import editing
from fake_api import FakeAPI
from kimi_program import Program

TOKENS = {"tokens": {"input": 100, "output": 20, "cached": 40, "thought": 5}}


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    program = Program(tmp_path_factory.mktemp("drafts"))
    with editing(program, capabilities={**ALL, "plan": {}, "subagents": {}}) as found:
        yield found


def test_the_tokens_of_a_turn_come_with_its_answer_and_before_it(drafts: Editor, work: Path) -> None:
    read = call("ReadFile", path="a.txt")
    session = drafts.new([read, TOKENS], [text("Done."), TOKENS], [text("Again."), TOKENS], cwd=str(work))
    usage = {"totalTokens": 240, "inputTokens": 120, "cachedReadTokens": 80, "outputTokens": 30, "thoughtTokens": 10}
    assert drafts.prompt(session) == {"stopReason": "end_turn", "usage": usage}
    assert sum(value for name, value in usage.items() if name != "totalTokens") == usage["totalTokens"]
    assert drafts.updates(session)[-1]["sessionUpdate"] == "usage_update"
    assert drafts.prompt(session)["usage"]["totalTokens"] == 120  # of this turn alone


def test_the_tokens_of_subagents_count(drafts: Editor, work: Path) -> None:
    explore = call("Agent", description="look", prompt="Look.", subagent_type="explore")
    session = drafts.new([explore, TOKENS], [text("Seen."), TOKENS], [text("Done."), TOKENS], cwd=str(work))
    assert drafts.prompt(session)["usage"]["totalTokens"] == 360


def test_others_are_told_no_draft(bare: Editor, editor: Editor, work: Path) -> None:
    explore = call("Agent", description="look", prompt="Look.", subagent_type="explore")
    todos = call("SetTodoList", todos=[{"title": "Look", "status": "done"}])
    for client in (bare, editor):
        session = client.new([explore, todos, TOKENS], text("Seen."), [text("Done."), TOKENS], cwd=str(work))
        assert client.prompt(session) == {"stopReason": "end_turn"}
        kinds = {update["sessionUpdate"] for update in client.updates(session)}
        assert "plan" in kinds
        assert kinds.isdisjoint({"plan_update", "plan_removed", "subagent_update", "session_message"})


def test_drafts_without_a_capability_can_be_asked_for(tmp_path: Path) -> None:
    editor = Editor(Program(tmp_path), capabilities={"_meta": {"drafts": True}})
    assert editor.hello["agentCapabilities"]["providers"] == {}
    assert editor.prompt(editor.new([text("Hello."), TOKENS]))["usage"]["totalTokens"] == 120
    assert editor.close() == 0


def test_todos_are_a_plan_with_a_name_and_a_written_plan_is_another(drafts: Editor, work: Path) -> None:
    drafts.answers["elicitation/create"] = lambda params: {
        "action": "accept", "content": {"answer_1": params["requestedSchema"]["properties"]["answer_1"]["enum"][0]},
    }  # fmt: skip
    todos = [{"title": "Look", "status": "done"}]
    steps = (call("ExitPlanMode", plan="# The plan"), call("SetTodoList", todos=todos), call("SetTodoList", todos=[]))
    session = drafts.new(*steps, text("Done."), cwd=str(work))
    drafts.request("session/set_mode", sessionId=session, modeId="plan")
    drafts.prompt(session)
    [written, listed] = [update["plan"] for update in drafts.updates(session, "plan_update")]
    assert (written["type"], written["content"]) == ("markdown", "# The plan")
    assert (listed["type"], listed["planId"]) == ("items", "todos")
    assert listed["entries"] == [{"content": "Look", "priority": "medium", "status": "completed"}]
    assert [update["planId"] for update in drafts.updates(session, "plan_removed")] == ["todos"]
    drafts.prompt(session, "/undo 1 conversation")
    assert drafts.updates(session, "plan_removed")[-1]["planId"] == written["planId"]


EXPLORE = call("Agent", description="look at a", prompt="Look at a.txt.", subagent_type="explore")


def test_a_subagent_is_a_session_of_its_own(drafts: Editor, work: Path) -> None:
    place = len(drafts.transcript)
    session = drafts.new(
        EXPLORE, [{"think": "So."}, call("ReadFile", path="a.txt")], text("It says one."), text("Done."), cwd=str(work)
    )
    drafts.prompt(session)
    told = [m["params"] for way, m in drafts.transcript[place:] if way == "<" and m.get("method") == "session/update"]
    begun, ended = [p["update"] for p in told if p["update"]["sessionUpdate"] == "subagent_update"]
    child = begun["sessionId"]
    assert (begun["title"], begun["description"]) == ("look at a", "explore")
    assert [begun["state"]["state"], ended["state"]] == ["running", {"state": "idle", "stopReason": "end_turn"}]
    first = next(number for number, params in enumerate(told) if params["sessionId"] == child)
    assert told[first - 1]["update"] == begun
    order = told[first]["update"]
    assert (order["senderSessionId"], order["recipientSessionId"]) == (session, child)
    assert order["content"] == [text("Look at a.txt.")]
    assert drafts.said(child, "agent_thought_chunk") == "So."
    assert drafts.said(child) == "It says one."
    assert drafts.card(child)["locations"] == [{"path": str(work / "a.txt")}]
    assert "✓" not in str(drafts.card(session)["content"])  # it is told once
    assert drafts.said(session) == "Done."


def test_what_a_subagent_wants_to_do_is_asked_in_its_session(drafts: Editor, work: Path) -> None:
    coder = call("Agent", description="write b", prompt="Write b.", subagent_type="coder")
    session = drafts.new(
        coder, call("WriteFile", path="b.txt", content="b\n"), text("Written."), text("Done."), cwd=str(work)
    )
    place = len(drafts.asked())
    drafts.prompt(session)
    [asked] = drafts.asked()[place:]
    [child] = {update["sessionId"] for update in drafts.updates(session, "subagent_update")}
    assert asked["sessionId"] == child
    assert asked["toolCall"]["toolCallId"] == drafts.card(child)["toolCallId"]


def test_a_subagent_that_is_cancelled_or_taken_up_again(drafts: Editor, work: Path) -> None:
    again = call("Agent", description="more", prompt="Look again.", subagent_type="explore", resume="s1")
    session = drafts.new(
        EXPLORE, [text("I look."), {"delay": 300}], again, text("Twice."), text("Done."), cwd=str(work)
    )
    request = drafts.begin_prompt(session)
    child = drafts.until(lambda: drafts.updates(session, "subagent_update"))[0]["sessionId"]
    drafts.until(lambda: drafts.said(child))
    drafts.notify("session/cancel", sessionId=session)
    assert drafts.result(request)["stopReason"] == "cancelled"
    assert drafts.updates(session, "subagent_update")[-1]["state"] == {"state": "idle", "stopReason": "cancelled"}
    place = len(drafts.transcript)
    drafts.prompt(session)
    states = [update["state"]["state"] for update in drafts.updates(session, "subagent_update", place)]
    assert states == ["running", "idle"]
    assert drafts.updates(child, "session_message", place)[0]["content"] == [text("Look again.")]
    assert drafts.said(child, since=place) == "Twice."


def test_titles_of_sessions_that_are_not_open(drafts: Editor, work: Path) -> None:
    session = drafts.new(text("Hello."), cwd=str(work))
    drafts.prompt(session)
    drafts.request("session/close", sessionId=session)
    assert drafts.request("session/set_title", sessionId=session, title=" A \n name ") == {"title": "A name"}
    [found] = drafts.request("session/list", cwd=str(work))["sessions"]
    assert found["title"] == "A name"
    for params, code in (
        ({"sessionId": "nobody", "title": "x"}, -32002),
        ({"sessionId": session, "title": " "}, -32602),
    ):
        with pytest.raises(Refused) as refused:
            drafts.request("session/set_title", **params)
        assert refused.value.code == code


def test_who_asks_about_the_sign_in_is_told_when_it_changes(tmp_path: Path) -> None:
    with editing(Program(tmp_path), capabilities={}) as editor:
        editor.request("logout")
        editor.request("authenticate", methodId="kimi-login")
        assert status_updates(editor) == []
        status = editor.request("auth/status")
        assert status["state"] == "authenticated"
        assert [account["active"] for account in status["accounts"]] == [True]
        editor.request("logout")
        editor.until(lambda: [told["state"] for told in status_updates(editor)] == ["unauthenticated"])
        editor.request("authenticate", methodId="kimi-login")
        editor.until(lambda: [told["state"] for told in status_updates(editor)] == ["unauthenticated", "authenticated"])


def status_updates(editor: Editor) -> list[Message]:
    found: list[Any] = [m for way, m in editor.transcript if way == "<" and m.get("method") == "auth/status_update"]
    return [message["params"] for message in found]


def test_the_client_says_where_models_are_served(tmp_path: Path) -> None:
    """A key of the person's goes nowhere else than where it is for."""
    program = Program(tmp_path)
    config = tmp_path / "of-the-test.toml"
    with FakeAPI([[text("From the gateway.")]]) as gateway, FakeAPI([[text("From home.")]]) as home:
        config.write_text(
            f'default_model = "m"\n[providers.main]\ntype = "openai"\nbase_url = "{home.url}"\napi_key = "sk-own"\n'
            '[models.m]\nprovider = "main"\nmodel = "m"\n'
        )
        with editing(program, "--config-file", str(config), capabilities={}) as editor:
            told = {"providerId": "main", "supported": ["openai", "anthropic"], "required": False}
            current = {"apiType": "openai", "baseUrl": home.url}
            assert editor.request("providers/list") == {"providers": [{**told, "current": current}]}
            assert "sk-own" not in str(editor.transcript)
            given = {"providerId": "main", "apiType": "openai", "baseUrl": gateway.url, "headers": {"X-Pass": "p"}}
            assert editor.request("providers/set", **given) == {}
            assert editor.request("providers/list")["providers"][0]["current"]["baseUrl"] == gateway.url
            session = editor.new()
            editor.prompt(session)
            assert editor.said(session) == "From the gateway."
            [asked] = gateway.requests
            assert asked.headers["x-pass"] == "p"
            assert "sk-own" not in str(asked.headers)
            for wrong in (
                {"providerId": "other"},
                {"apiType": "bedrock"},
                {"baseUrl": "file:///x"},
                {"baseUrl": "http://["},
            ):
                with pytest.raises(Refused) as refused:
                    editor.request("providers/set", **{**given, **wrong})
                assert refused.value.code == -32602
            assert editor.request("providers/set", **{**given, "baseUrl": home.url, "headers": {}}) == {}
            session = editor.new()
            editor.prompt(session)
            assert home.requests[-1].headers["authorization"] == "Bearer sk-own"
            assert editor.request("providers/disable", providerId="main") == {}
            assert editor.request("providers/disable", providerId="nobody") == {}
            assert editor.request("providers/list") == {"providers": [told]}
            with pytest.raises(Refused) as refused:
                editor.new()
            assert refused.value.code == -32000
    assert "base_url" in config.read_text()
