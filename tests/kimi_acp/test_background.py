"""What ends between two prompts: told by an update, and to the model with the next prompt."""

from pathlib import Path

from acp_editor import Editor, call, text

WAITS = call(
    "Shell",
    command="while [ ! -e go ]; do sleep 0.02; done; echo the-result",
    run_in_background=True,
    description="wait",
)
STEPS = (WAITS, text("It runs."), [{"expect": "The background task b1 has ended"}, text("It is done.")])


def test_a_client_with_notices_is_told_at_once(editor: Editor, work: Path) -> None:
    session = editor.new(*STEPS, cwd=str(work))
    editor.prompt(session, "Begin.")
    place = len(editor.transcript)
    (work / "go").touch()
    [notice] = editor.until(lambda: editor.updates(session, "notice", place))
    assert notice["title"].startswith("Task b1 ")
    assert editor.said(session, since=place) == ""
    assert editor.prompt(session, "And?") == {"stopReason": "end_turn"}
    assert editor.said(session, since=place) == "It is done."


def test_others_are_told_with_the_next_prompt_and_hear_nothing_before_it(bare: Editor, work: Path) -> None:
    session = bare.new(*STEPS, cwd=str(work))
    bare.prompt(session, "Begin.")
    place = len(bare.transcript)
    (work / "go").touch()
    log = bare.program.home / "sessions" / f"{session}.jsonl"
    bare.until(lambda: '"state":"done"' in log.read_text())
    bare.request("session/list")
    assert bare.updates(session, since=place) == []
    bare.prompt(session, "And?")
    said = bare.said(session, since=place)
    assert said.startswith("\n\n_Task b1 ")
    assert said.endswith("It is done.")
