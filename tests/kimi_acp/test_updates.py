"""What an editor is told while the agent works, and when it opens the session again."""

import json
from pathlib import Path
from typing import Any

import pytest
from acp_editor import Editor, Refused, call, same, text

WORK = (
    [
        {"think": "Let me see.", "chunk": 4},
        {"text": "I look.", "chunk": 3},
        call("ReadFile", path="a.txt", line_offset=2),
    ],
    [
        call("StrReplaceFile", path="a.txt", edit={"old": "two", "new": "zwei"}),
        call("Shell", command="echo out; exit 3"),
        call("SetTodoList", todos=[{"title": "Look", "status": "done"}, {"title": "Write", "status": "in_progress"}]),
    ],
    [call("WriteFile", path="new/b.txt", content="b\n")],
    [text("All done."), {"tokens": {"input": 1000, "output": 20, "cached": 0}}],
)


@pytest.fixture(scope="module")
def worked(editor: Editor, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("worked")
    (folder / "a.txt").write_text("one\ntwo\nthree\n")
    session = editor.new(*WORK, cwd=str(folder))
    assert editor.prompt(session, "Work.") == {"stopReason": "end_turn"}
    assert editor.updates(session)[-1]["sessionUpdate"] == "usage_update"
    return session, folder


def test_texts_come_in_pieces_with_the_ids_of_their_messages(editor: Editor, worked: tuple[str, Path]) -> None:
    chunks = editor.updates(worked[0], "agent_message_chunk")
    assert [c["content"]["text"] for c in chunks[:3]] == ["I l", "ook", "."]
    assert len({c["messageId"] for c in chunks}) == 2
    assert editor.said(worked[0], "agent_thought_chunk") == "Let me see."
    assert editor.updates(worked[0], "session_info_update")[0]["title"] == "Work."


def test_a_card_for_every_call(editor: Editor, worked: tuple[str, Path]) -> None:
    session, folder = worked
    first = next(u for u in editor.updates(session) if u["sessionUpdate"] == "tool_call")
    assert (first["name"], first["kind"], first["status"]) == ("ReadFile", "read", "pending")
    assert first["rawInput"] == {"path": "a.txt", "line_offset": 2}
    read, edit, shell, _, write = (editor.card(session, number) for number in range(5))
    assert read["locations"] == [{"path": str(folder / "a.txt"), "line": 2}]
    assert read["status"] == "completed"
    assert "two" in read["rawOutput"]["output"]
    assert edit["kind"] == "edit"
    assert edit["locations"] == [{"path": str(folder / "a.txt"), "line": 2}]
    [diff] = edit["content"]
    assert diff == {
        "type": "diff",
        "path": str(folder / "a.txt"),
        "oldText": "one\ntwo\nthree\n",
        "newText": "one\nzwei\nthree\n",
    }
    assert (shell["title"], shell["kind"]) == ("echo out; exit 3", "execute")
    assert shell["content"] == [{"type": "terminal", "terminalId": shell["toolCallId"]}]
    assert shell["rawOutput"]["exitCode"] == 3
    assert write["content"] == [{"type": "diff", "path": str(folder / "new/b.txt"), "oldText": None, "newText": "b\n"}]


def test_a_terminal_that_the_editor_draws_is_fed_once(editor: Editor, worked: tuple[str, Path]) -> None:
    shell = editor.card(worked[0], 2)["toolCallId"]
    fed = [u["_meta"] for u in editor.updates(worked[0]) if u.get("toolCallId") == shell and "_meta" in u]
    assert fed[0]["terminal_info"] == {"terminal_id": shell, "cwd": str(worked[1])}
    said = "".join(meta["terminal_output"]["data"] for meta in fed if "terminal_output" in meta).split("\r\n")
    assert said == ["out", ""]
    assert [meta["terminal_exit"]["exit_code"] for meta in fed if "terminal_exit" in meta] == [3]
    assert "terminal_exit" in fed[-1]


def test_todos_are_the_plan_and_tokens_come_before_the_answer(editor: Editor, worked: tuple[str, Path]) -> None:
    [plan] = editor.updates(worked[0], "plan")
    assert plan["entries"] == [
        {"content": "Look", "priority": "medium", "status": "completed"},
        {"content": "Write", "priority": "medium", "status": "in_progress"},
    ]
    usage = editor.updates(worked[0], "usage_update")
    assert usage[-1]["used"] >= 1020
    assert usage[-1]["size"] > usage[-1]["used"]


def test_commands_come_after_the_session_and_again(editor: Editor, work: Path) -> None:
    request = editor.begin("session/new", {"cwd": str(work), "mcpServers": []})
    session = editor.result(request)["sessionId"]
    lists = editor.until(lambda: len(found := editor.updates(session, "available_commands_update")) >= 2 and found)
    names = {command["name"]: command for command in lists[0]["availableCommands"]}
    assert names["compact"]["input"] == {"hint": "[what to keep]"}
    assert "exit" not in names
    told = [
        m for _, m in editor.transcript if m.get("id") == request or m.get("params", {}).get("sessionId") == session
    ]
    assert next(m for m in told if m.get("method") in (None, "session/update"))["id"] == request


def test_a_session_that_is_loaded_looks_as_it_did(editor: Editor, worked: tuple[str, Path]) -> None:
    session, folder = worked
    live = [
        u
        for u in editor.updates(session)
        if u["sessionUpdate"] not in ("available_commands_update", "session_info_update")
    ]
    editor.request("session/close", sessionId=session)
    views = []
    for _ in range(2):
        place = len(editor.transcript)
        editor.request("session/load", sessionId=session, cwd=str(folder), mcpServers=[])
        views.append(
            [u for u in editor.updates(session, since=place) if u["sessionUpdate"] != "available_commands_update"]
        )
        editor.request("session/close", sessionId=session)
    assert same(views[0]) == same(views[1])
    again = views[0]
    assert again.pop(0)["content"] == text("Work.")

    def texts(updates: list[Any]) -> list[Any]:
        return [u for u in same(updates) if "messageId" in u or u["sessionUpdate"] == "plan"]

    def cards(updates: list[Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for update in updates:
            if "toolCallId" in update:
                found.setdefault(update["toolCallId"], {}).update(
                    {k: v for k, v in update.items() if k not in ("_meta", "sessionUpdate")}
                )
        return found

    assert texts(live) == texts(again)
    assert cards(live) == cards(again)
    assert [u for u in live if u["sessionUpdate"] == "usage_update"][-1] == again[-1]


def test_it_is_a_session_of_the_terminal_and_back(editor: Editor, work: Path) -> None:
    session = editor.new(text("From the editor."), cwd=str(work))
    editor.prompt(session, "One.")
    editor.request("session/close", sessionId=session)
    kimi = editor.program
    done = kimi.run("-r", session, "-p", "Two.", "--provider", kimi.scenario([text("From the terminal.")]))
    assert done.stdout.strip() == "From the terminal."
    place = len(editor.transcript)
    editor.play(text("Back again."))
    editor.request("session/load", sessionId=session, cwd=str(work), mcpServers=[])
    assert editor.said(session, since=place) == "From the editor.From the terminal."
    assert editor.said(session, "user_message_chunk", place) == "One.Two."
    editor.prompt(session, "Three.")
    assert editor.said(session, since=place).endswith("Back again.")


def test_output_without_terminals_is_text(bare: Editor, work: Path) -> None:
    session = bare.new(call("Shell", command="echo 'a```b'; exit 3"), text("Done."), cwd=str(work))
    bare.prompt(session)
    card = bare.card(session)
    assert [c["content"]["text"] for c in card["content"]] == ["````console\na```b\n````", "exit code 3"]
    assert not any("_meta" in update for update in bare.updates(session) if "toolCallId" in update)


def test_what_is_undone_does_not_come_back(editor: Editor, work: Path) -> None:
    session = editor.new(text("Wrong."), text("Right."), cwd=str(work))
    editor.prompt(session, "First.")
    editor.prompt(session, "/undo 1 conversation")
    editor.prompt(session, "Second.")
    place = len(editor.transcript)
    editor.request("session/load", sessionId=session, cwd=str(work), mcpServers=[])
    assert editor.said(session, "user_message_chunk", place) == "Second."
    assert editor.said(session, since=place) == "Right."


@pytest.mark.parametrize(
    ("error", "code", "data"),
    [
        ({"status": 401, "message": "no"}, -32000, {"kind": "AuthError", "retryable": False, "status": 401}),
        ({"status": 400, "message": "no"}, -32603, {"kind": "BadRequestError", "retryable": False, "status": 400}),
        ({"status": 402, "message": "no"}, -32603, {"kind": "QuotaError", "retryable": False, "status": 402}),
    ],
)  # fmt: skip
def test_a_turn_that_fails_is_a_typed_error(editor: Editor, work: Path, error: Any, code: int, data: Any) -> None:
    session = editor.new([{"error": error}], text("Well."), cwd=str(work))
    with pytest.raises(Refused) as refused:
        editor.prompt(session)
    assert (refused.value.code, refused.value.data) == (code, data)
    assert "\n" not in str(refused.value)
    assert editor.prompt(session) == {"stopReason": "end_turn"}


def test_stop_reasons(editor: Editor, work: Path) -> None:
    session = editor.new([text("Cut"), {"finish": "length"}], text("Well."), cwd=str(work))
    assert editor.prompt(session) == {"stopReason": "max_tokens"}
    assert any(u["severity"] == "warning" for u in editor.updates(session, "notice"))


def test_slash_commands_are_answered_in_words(bare: Editor, work: Path) -> None:
    session = bare.new(text("Hello."), cwd=str(work))
    for command, words in (
        ("/help", "| command |"), ("/status", "scripted"), ("/nonsense", "There is no command `/nonsense`"),
        ("/exit", "in the terminal only"), ("/plan", "Plan mode is on"), ("/title A name", ""), ("/model none", "unknown model"),
    ):  # fmt: skip
        place = len(bare.transcript)
        assert bare.prompt(session, command) == {"stopReason": "end_turn"}
        assert words in bare.said(session, since=place)
    assert bare.updates(session, "current_mode_update")[-1]["currentModeId"] == "plan"
    assert bare.updates(session, "session_info_update")[-1]["title"] == "A name"
    bare.prompt(session, "/etc/hostname is a path")
    assert bare.said(session).endswith("Hello.")


def test_titles_and_forks(editor: Editor, work: Path) -> None:
    session = editor.new(text("One."), text("Two."), cwd=str(work))
    editor.prompt(session, "First.")
    assert editor.request("session/set_title", sessionId=session, title=" My  title ") == {"title": "My title"}
    fork = editor.request("session/fork", sessionId=session, cwd=str(work), mcpServers=[])
    assert fork["sessionId"] != session
    assert fork["modes"]
    editor.prompt(session, "Second.")
    titles = {s["sessionId"]: s["title"] for s in editor.request("session/list", cwd=str(work))["sessions"]}
    assert titles == {session: "My title", fork["sessionId"]: "My title"}
    place = len(editor.transcript)
    editor.request("session/load", sessionId=fork["sessionId"], cwd=str(work), mcpServers=[])
    assert editor.said(fork["sessionId"], since=place) == "One."


def test_subagents_are_told_inside_of_their_call(editor: Editor, work: Path) -> None:
    session = editor.new(
        call("Agent", description="look", prompt="Look at a.txt.", subagent_type="explore"),
        call("ReadFile", path="a.txt"), text("It says one."), text("Done."), cwd=str(work),
    )  # fmt: skip
    editor.prompt(session)
    card = editor.card(session)
    told = card["content"][0]["content"]["text"]
    assert "explore" in told
    assert "✓ ReadFile a.txt" in told
    assert "It says one." in told
    assert card["status"] == "completed"
    assert editor.said(session) == "Done."


def test_lists_come_in_pages(tmp_path: Path) -> None:
    from kimi_program import Program

    editor = Editor(Program(tmp_path), capabilities={})
    first = editor.new(text("Hello."))
    editor.prompt(first, "Hi.")
    line = (editor.program.home / "sessions" / f"{first}.jsonl").read_bytes()
    editor.request("session/close", sessionId=first)
    for number in range(120):
        (editor.program.home / "sessions" / f"20200101-000000-{number:06x}.jsonl").write_bytes(line)
    seen, cursor, sizes = set(), None, []
    while True:
        page = editor.request("session/list", **({"cursor": cursor} if cursor else {}))
        seen |= {s["sessionId"] for s in page["sessions"]}
        sizes.append(len(page["sessions"]))
        if (cursor := page.get("nextCursor")) is None:
            break
    assert (sizes, len(seen)) == ([50, 50, 21], 121)
    assert editor.close() == 0


def test_many_calls_cost_the_same(editor: Editor, work: Path) -> None:
    """What is told of a call does not grow with the session."""
    steps = [call("ReadFile", path="a.txt", n_lines=number + 1) for number in range(60)]
    session = editor.new(*steps, text("Done."), cwd=str(work))
    editor.prompt(session)
    sizes = [
        len(json.dumps(u)) for u in editor.updates(session) if u["sessionUpdate"] in ("tool_call", "tool_call_update")
    ]
    assert len(sizes) <= 3 * 60
    assert max(sizes[-6:]) <= max(sizes[:6]) + 20


def test_a_compaction_and_a_retry_are_told_as_the_client_can(editor: Editor, bare: Editor, work: Path) -> None:
    steps = (text("One. " * 3000), text("A summary."), [{"drop": True}], text("Two."))
    for client in (editor, bare):
        session = client.new(*steps, cwd=str(work))
        client.prompt(session, "First.")
        assert client.prompt(session, "/compact") == {"stopReason": "end_turn"}
        client.prompt(session, "Second.")
        assert client.said(session).endswith("Two.")
        told = client.updates(session, "compaction_update")
        assert [update["status"] for update in told] == (["completed"] if client is editor else [])
        assert ("was shortened" in client.said(session)) is (client is bare)
        assert any("Trying again" in notice["title"] for notice in client.updates(session, "notice")) is (
            client is editor
        )


def test_a_prompt_that_waits_is_taken_back_at_once(bare: Editor, work: Path) -> None:
    session = bare.new([text("Begun."), {"delay": 0.3}, text("One.")], text("Three."), cwd=str(work))
    first = bare.begin_prompt(session, "1")
    bare.until(lambda: "Begun." in bare.said(session))
    second = bare.begin_prompt(session, "2")
    bare.notify("$/cancel_request", requestId=second)
    assert bare.result(second)["stopReason"] == "cancelled"
    assert bare.result(first)["stopReason"] == "end_turn"
    assert bare.prompt(session, "3") == {"stopReason": "end_turn"}


def test_what_is_cancelled_as_soon_as_it_is_sent_is_cancelled(bare: Editor, work: Path) -> None:
    session = bare.new([{"delay": 300}], text("Never."), cwd=str(work))
    for _ in range(3):
        prompt = {
            "jsonrpc": "2.0",
            "id": "at-once",
            "method": "session/prompt",
            "params": {"sessionId": session, "prompt": [text("x")]},
        }
        cancel = {"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": session}}
        bare.write("".join(json.dumps(each) + "\n" for each in (prompt, cancel)).encode())
        assert bare.result("at-once") == {"stopReason": "cancelled"}
